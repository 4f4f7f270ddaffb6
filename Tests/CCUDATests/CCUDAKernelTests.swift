import CCUDA
import EmulatedCUDA
import Foundation
import Testing

/// A kernel of these tests: `values[i] += step` for all threads of the grid. Found under "add_f32" alone.
private let addKernel = emulated_kernels(
    find: { strcmp($0, "add_f32") == 0 ? UnsafeMutableRawPointer(bitPattern: 1) : nil },
    run: { _, grid, block, sharedBytes, params in
        let values = params[0].load(as: UnsafeMutablePointer<Float>.self), step = params[1].load(as: Float.self)
        for i in 0..<Int(grid[0] * block) { values[i] += step + Float(sharedBytes) }
        return nil
    },
    copy: { _, params in params })

extension CCUDATests {
    @Suite("Kernels") struct Kernels {
        func load(_ card: OpaquePointer, _ text: String) -> Bool {
            "kernels.cu".withCString { name in
                text.withCString { text in
                    var source = ccuda_source(name: name, text: text)
                    return ccuda_load_kernels(card, &source, 1)
                }
            }
        }

        func launch(_ card: OpaquePointer, _ name: String, _ x: CardArray, _ step: Float, blocks: UInt32 = 2, sharedBytes: UInt32 = 0) {
            var address = x.address, step = step
            withUnsafeMutablePointer(to: &address) { address in
                withUnsafeMutablePointer(to: &step) { step in
                    var params: [UnsafeMutableRawPointer] = [.init(address), .init(step)]
                    ccuda_launch(card, name, CCUDA_F32, blocks, 1, 1, 2, sharedBytes, &params)
                }
            }
        }

        /// A card whose cache is a folder of its own.
        func withCache(_ body: (OpaquePointer, URL) throws -> Void) throws {
            try withFolder { folder in
                try withEnvironment("XDG_CACHE_HOME", folder.path) {
                    try withCard { card in
                        emulated_set_kernels(addKernel)
                        try body(card, folder.appending(path: "loralab/cuda"))
                    }
                }
            }
        }

        @Test("a kernel is launched by name and type, over the grid asked for, with its arguments")
        func launches() throws {
            try withCache { card, _ in
                #expect(load(card, "void add() {}"))
                let x = CardArray(card, CCUDA_F32, [1, 2, 3, 4, 5])
                launch(card, "add", x, 0.5)
                launch(card, "add", x, 7, blocks: 0)
                #expect(x.values == [1.5, 2.5, 3.5, 4.5, 5])
                launch(card, "add", x, 0, blocks: 1, sharedBytes: 100 << 10)
                #expect(x.values[2] == 3.5 && x.values[0] == 1.5 + 102_400)
                #expect(failure(card) == nil)
            }
        }

        @Test("what a card cannot launch is a failure that names the kernel")
        func refused() throws {
            try withCache { card, _ in
                #expect(load(card, "void add() {}"))
                let x = CardArray(card, CCUDA_F32, [1, 2, 3, 4])
                launch(card, "subtract", x, 1)
                #expect(failure(card) == CCUDA_MISUSE && text(ccuda_failure(card)!.pointee).contains("subtract_f32"))
                #expect(ccuda_clear_failure(card))
                launch(card, "add", x, 1, sharedBytes: 300 << 10)
                #expect(failure(card) == CCUDA_LIBRARY)
                #expect(ccuda_clear_failure(card) && x.values == [1, 2, 3, 4])
            }
        }

        @Test("an error in a source is told with the file and the compiler's words, and nothing is cached")
        func compilerError() throws {
            try withCache { card, cache in
                #expect(!load(card, "#error no such thing"))
                let kept = try #require(ccuda_failure(card)).pointee
                #expect(kept.kind == CCUDA_COMPILER && text(kept).contains("kernels.cu") && text(kept).contains("no such thing")
                        && text(kept).contains("sm_90"))
                #expect(!FileManager.default.fileExists(atPath: cache.path))
            }
        }

        @Test("machine code is compiled once for a source and taken from the cache after that")
        func cache() throws {
            try withCache { card, cache in
                #expect(load(card, "void add() {}"))
                let files = try FileManager.default.contentsOfDirectory(atPath: cache.path)
                #expect(files.count == 1 && files[0].hasSuffix(".cubin"))
                emulated_fail("nvrtcCreateProgram", 5, 0)
                #expect(load(card, "void add() {}") && failure(card) == nil)
                #expect(!load(card, "void other() {}"))  // not the same source: the compiler is asked
                #expect(ccuda_clear_failure(card) && load(card, "void other() {}"))
                #expect(try FileManager.default.contentsOfDirectory(atPath: cache.path).count == 2)
            }
        }

        @Test("cached code that the driver does not take is compiled anew")
        func damagedCache() throws {
            try withCache { card, cache in
                #expect(load(card, "void add() {}"))
                let file = cache.appending(path: try FileManager.default.contentsOfDirectory(atPath: cache.path)[0])
                try Data("damaged".utf8).write(to: file)
                emulated_fail("cuModuleLoadData", 200, 0)
                #expect(load(card, "void add() {}") && failure(card) == nil)
                #expect(try String(contentsOf: file, encoding: .utf8) == "void add() {}\0")
            }
        }

        @Test("a cache that cannot be written is no error")
        func noCache() throws {
            try withEnvironment("XDG_CACHE_HOME", "/proc/nowhere") {
                try withCard { card in #expect(load(card, "void add() {}") && failure(card) == nil) }
            }
        }
    }
}
