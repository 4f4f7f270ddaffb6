import CCUDA
import EmulatedCUDA
import Testing

extension CCUDATests {
    @Suite("Memory and failures") struct Memory {
        @Test("bytes go up, across and down whatever their number and place", arguments: [1, 255, 4096, 2 << 20, (2 << 20) + 1, 40_000_003], [0, 3])
        func copies(bytes: Int, offset: Int) throws {
            try withCard { card in
                let sent = (0..<bytes).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 / 251) }
                var back = [UInt8](repeating: 0, count: bytes)
                let a = try #require(ccuda_allocate(card, bytes + offset)), b = try #require(ccuda_allocate(card, bytes + offset))
                ccuda_upload(card, a + offset, sent, bytes)
                ccuda_copy(card, b + offset, a + offset, bytes)
                ccuda_download(card, &back, b + offset, bytes)
                #expect(back == sent && ccuda_synchronize(card))
                ccuda_set_bytes(card, b + offset, 9, bytes)
                ccuda_download(card, &back, b + offset, bytes)
                #expect(back.allSatisfy { $0 == 9 })
                ccuda_free(card, a)
                ccuda_free(card, b)
            }
            #expect(emulated_memory_used() == 0)
        }

        @Test("memory that is not there is no failure until the caller says so")
        func noMemory() throws {
            try withCard { card in
                #expect(ccuda_allocate(card, 2 << 30) == nil && failure(card) == nil)
                ccuda_fail(card, CCUDA_NO_MEMORY, "too little even after trimming")
                #expect(failure(card) == CCUDA_NO_MEMORY)
                #expect(ccuda_clear_failure(card) && failure(card) == nil)
                #expect(ccuda_scratch(card, 2 << 30) == nil && failure(card) == CCUDA_NO_MEMORY)
            }
        }

        @Test("scratch memory stays where it is until more is asked for, and outgrown memory lives on")
        func scratch() throws {
            try withCard { card in
                let small = try #require(ccuda_scratch(card, 1000))
                #expect(ccuda_scratch(card, 500) == small && ccuda_scratch(card, 1000) == small)
                small.storeBytes(of: 42, as: Int32.self)
                let large = try #require(ccuda_scratch(card, 10 << 20))
                #expect(large != small && small.load(as: Int32.self) == 42)
            }
            #expect(emulated_memory_used() == 0)
        }

        @Test("after a failure calls do nothing until it is cleared")
        func stickiness() throws {
            try withCard { card in
                let x = CardArray(card, CCUDA_F32, [1, 2, 3]), y = CardArray(card, CCUDA_F32, [0, 0, 0])
                emulated_fail("cuMemcpyDtoDAsync_v2", 1, 0)
                ccuda_copy(card, y.address, x.address, 12)
                #expect(failure(card) == CCUDA_LIBRARY)
                ccuda_copy(card, y.address, x.address, 12)
                ccuda_fail(card, CCUDA_MISUSE, "the first one counts")
                #expect(!ccuda_synchronize(card) && ccuda_allocate(card, 4) == nil && failure(card) == CCUDA_LIBRARY)
                #expect(y.values == [0, 0, 0])
                #expect(ccuda_clear_failure(card) && y.values == [0, 0, 0])
                ccuda_copy(card, y.address, x.address, 12)
                #expect(y.values == [1, 2, 3])
            }
        }

        @Test("a fault within a kernel spoils the context: it cannot be cleared, downloads give zeros, closing works")
        func spoiled() throws {
            try withCard { card in
                let x = CardArray(card, CCUDA_F32, [1, 2, 3])
                emulated_fail("cuStreamSynchronize", 700, 0)
                #expect(!ccuda_synchronize(card))
                let kept = try #require(ccuda_failure(card)).pointee
                #expect(kept.kind == CCUDA_SPOILED && text(kept).contains("illegal memory access") && text(kept).contains("started anew"))
                #expect(!ccuda_clear_failure(card) && x.values == [0, 0, 0])
                ccuda_free(card, x.address)
            }
        }

        @Test("recorded work runs when it is replayed, as often as wanted, and waiting meanwhile is a misuse")
        func recording() throws {
            try withCard { card in
                let x = CardArray(card, CCUDA_F32, [1, 2]), y = CardArray(card, CCUDA_F32, [0, 0])
                ccuda_begin_recording(card)
                ccuda_copy(card, y.address, x.address, 8)
                ccuda_set_bytes(card, x.address, 0, 4)
                let graph = try #require(ccuda_end_recording(card))
                defer { ccuda_graph_destroy(card, graph) }
                #expect(ccuda_graph_size(graph) == 2 && y.values == [0, 0])
                ccuda_replay(card, graph)
                #expect(y.values == [1, 2] && x.values == [0, 2])
                ccuda_replay(card, graph)
                #expect(y.values == [0, 2])
                ccuda_begin_recording(card)
                ccuda_copy(card, y.address, x.address, 8)
                #expect(!ccuda_synchronize(card) && failure(card) == CCUDA_MISUSE)
                #expect(ccuda_end_recording(card) == nil)
                #expect(ccuda_clear_failure(card) && ccuda_synchronize(card))
            }
        }
    }
}
