import KernelsOnHost
import Testing

/// The card's kernels, compiled for the processor. One at a time: the block that runs is the process'.
@Suite("Kernels on the processor", .serialized) struct KernelsOnHostTests {
    static let cases = (0..<koh_case_count()).map { String(cString: koh_case_name($0)) }

    @Test("agree with plain loops, whatever the order of threads, and touch nothing beside their operands", arguments: cases)
    func agrees(name: String) throws {
        let index = try #require(Self.cases.firstIndex(of: name))
        let fault = koh_run_case(Int32(index)).map { String(cString: $0) }
        #expect(fault == nil, "\(name): \(fault ?? "")")
    }

    @Test("each is run by a case") func allRun() {
        let missing = koh_kernel_not_run(0).map { String(cString: $0) }
        #expect(missing == nil, "\(missing ?? "") is run by no case")
    }
}
