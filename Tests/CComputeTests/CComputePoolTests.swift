import CCompute
import Dispatch
import Foundation
import Testing

extension CComputeTests {
    @Suite("Thread pool") struct Pool {
        /// How often each item was done, and by whom.
        final class Tally: @unchecked Sendable {
            let lock = NSLock()
            var counts: [Int]
            var longest = 0
            var workers = Set<Int>()
            init(_ n: Int) { counts = [Int](repeating: 0, count: n) }
            func note(_ begin: Int, _ end: Int, _ worker: Int) {
                lock.withLock {
                    for i in begin..<end { counts[i] += 1 }
                    longest = max(longest, end - begin)
                    workers.insert(worker)
                }
            }
        }

        static func run(_ n: Int, grain: Int, _ tally: Tally) {
            cc_parallel_for(n, grain, { context, begin, end, worker in
                Unmanaged<Tally>.fromOpaque(context!).takeUnretainedValue().note(begin, end, Int(worker))
            }, Unmanaged.passUnretained(tally).toOpaque())
        }

        func withThreads(_ count: Int32, _ body: () -> Void) {
            let before = cc_threads()
            cc_set_threads(count)
            body()
            cc_set_threads(before)
        }

        @Test("does every item once, in pieces no longer than asked", arguments: [(0, 1), (1, 1), (7, 3), (1000, 1), (1000, 2000), (10_001, 16)], [1, 2, 5] as [Int32])
        func everyItemOnce(_ size: (n: Int, grain: Int), threads: Int32) {
            withThreads(threads) {
                let tally = Tally(size.n)
                Self.run(size.n, grain: size.grain, tally)
                #expect(tally.counts.allSatisfy { $0 == 1 })
                #expect(tally.longest <= size.grain)
                #expect(tally.workers.allSatisfy { (0..<Int(threads)).contains($0) })
            }
        }

        @Test("callers on several threads take turns and all finish")
        func manyCallers() {
            withThreads(3) {
                let tallies = (0..<8).map { _ in Tally(500) }
                DispatchQueue.concurrentPerform(iterations: 8) { i in for _ in 0..<20 { Self.run(500, grain: 7, tallies[i]) } }
                for tally in tallies { #expect(tally.counts.allSatisfy { $0 == 20 }) }
            }
        }

        @Test("a call from inside a piece of work runs on the same thread")
        func nested() {
            withThreads(4) {
                final class Outer: @unchecked Sendable { let inner = Tally(40) }
                let outer = Outer()
                cc_parallel_for(16, 1, { context, _, _, _ in
                    Pool.run(40, grain: 3, Unmanaged<Outer>.fromOpaque(context!).takeUnretainedValue().inner)
                }, Unmanaged.passUnretained(outer).toOpaque())
                #expect(outer.inner.counts.allSatisfy { $0 == 16 })
                #expect(outer.inner.workers == [0])
            }
        }

        @Test("several threads take part")
        func shares() {
            withThreads(2) {
                final class Meeting: @unchecked Sendable {
                    let first = DispatchSemaphore(value: 0), second = DispatchSemaphore(value: 0)
                    let lock = NSLock()
                    var meetings = 0
                }
                let meeting = Meeting()  // each piece waits for the other: that ends soon only with two threads
                cc_parallel_for(2, 1, { context, begin, _, _ in
                    let meeting = Unmanaged<Meeting>.fromOpaque(context!).takeUnretainedValue()
                    let (mine, other) = begin == 0 ? (meeting.first, meeting.second) : (meeting.second, meeting.first)
                    other.signal()
                    if mine.wait(timeout: .now() + 20) == .success { meeting.lock.withLock { meeting.meetings += 1 } }
                }, Unmanaged.passUnretained(meeting).toOpaque())
                #expect(meeting.meetings == 2)
            }
        }

        @Test("scratch memory is reused: four hundred products of 300 rows keep what a few need")
        func scratch() {
            var numbers = TestNumbers(1)
            let a = numbers.floats(300 * 300)
            var c = a
            cc_trim()
            let before = cc_scratch_bytes()
            for _ in 0..<400 { cc_gemm(false, true, 300, 300, 300, 1, a, 300, a, CC_F32, 300, 0, &c, 300, nil, nil) }
            #expect(cc_scratch_bytes() < before + (40 << 20))  // one block is 200 KiB: 400 of them would be more
            cc_trim()
        }

        @Test("a mapping of any size is zero and writable to its last byte; large ones begin where a huge page does", arguments: [4 << 10, 3 << 20, 4 << 20, (9 << 20) + (4 << 10)])
        func mapping(bytes: Int) throws {
            let block = try #require(cc_map(bytes))
            defer { munmap(block, bytes) }
            let words = UnsafeMutableRawBufferPointer(start: block, count: bytes).bindMemory(to: UInt64.self)
            #expect(words.allSatisfy { $0 == 0 })
            for i in words.indices { words[i] = UInt64(i) }
            #expect(words.indices.allSatisfy { words[$0] == UInt64($0) })
            if bytes >= 4 << 20 { #expect(UInt(bitPattern: block) % (2 << 20) == 0) }
        }

        @Test("a mapping moved to another length keeps what fits", arguments: [(5 << 20, 11 << 20), (11 << 20, 5 << 20)])
        func remapping(from: Int, to: Int) throws {
            let block = try #require(cc_map(from))
            block.storeBytes(of: 7, as: UInt8.self)
            block.storeBytes(of: 9, toByteOffset: min(from, to) - 1, as: UInt8.self)
            let moved = try #require(cc_remap(block, from, to))
            defer { munmap(moved, to) }
            #expect(moved.load(as: UInt8.self) == 7 && moved.load(fromByteOffset: min(from, to) - 1, as: UInt8.self) == 9)
            moved.storeBytes(of: 3, toByteOffset: to - 1, as: UInt8.self)
        }

        @Test("instruction sets: the generic one runs everywhere, one this processor lacks is refused")
        func instructionSetChoice() {
            let best = cc_current_isa()
            #expect(cc_set_isa(CC_ISA_GENERIC) && cc_current_isa() == CC_ISA_GENERIC)
            #expect(cc_set_isa(best) && cc_current_isa() == best)
            for isa in [CC_ISA_AVX2, CC_ISA_AVX512, CC_ISA_NEON] where !cc_supports_isa(isa) {
                #expect(!cc_set_isa(isa) && cc_current_isa() == best)
            }
            #expect(String(cString: cc_isa_name(CC_ISA_AVX2)) == "avx2")
        }
    }
}
