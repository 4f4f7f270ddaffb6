import Foundation
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

    @Test("an emulated card finds one by name, and runs it with arguments copied earlier") func byName() throws {
        #expect(koh_find_kernel("no_such_kernel") == nil)
        let kernel = try #require(koh_find_kernel("combine_scalar_f32"))
        let numbers = UnsafeMutablePointer<Float>.allocate(capacity: 10), values = UnsafeMutableRawPointer.allocate(byteCount: 48, alignment: 8)
        defer { numbers.deallocate(); values.deallocate() }
        for i in 0..<5 { (numbers[i], numbers[5 + i]) = (Float(i), .nan) }
        values.storeBytes(of: 2, as: Int32.self)                        // multiply
        values.storeBytes(of: 5, toByteOffset: 8, as: Int.self)         // elements
        values.storeBytes(of: numbers, toByteOffset: 16, as: UnsafeMutablePointer<Float>.self)
        values.storeBytes(of: 3, toByteOffset: 24, as: Float.self)      // by 3
        values.storeBytes(of: 0, toByteOffset: 32, as: Int.self)        // and by no factor
        values.storeBytes(of: numbers + 5, toByteOffset: 40, as: UnsafeMutablePointer<Float>.self)
        var addresses = stride(from: 0, to: 48, by: 8).map { values + $0 }
        let arguments = koh_copy_arguments(kernel, &addresses)
        defer { free(arguments) }
        memset(values, 0, 48)                                           // the copies keep what was there
        #expect(koh_run_kernel(kernel, [1, 1, 1], 256, 0, arguments) == nil)
        #expect((0..<5).map { numbers[5 + $0] } == [0, 3, 6, 9, 12])
    }
}
