import CCUDA
import EmulatedCUDA
import Foundation
import Testing

extension CCUDATests {
    @Suite("Libraries and cards") struct Opening {
        /// Why card `device` does not open.
        func refusal(_ device: Int32 = 0) throws -> ccuda_error {
            var error = ccuda_error()
            #expect(ccuda_open(device, &error) == nil)
            return error
        }

        @Test("a missing library is named, with the line that installs it for the driver's CUDA", arguments: [
            (13000, "nvrtc", "NVRTC", "pip install nvidia-cuda-nvrtc"), (13000, "cublasLt", "cuBLASLt", "pip install nvidia-cublas"),
            (13000, "cudnn", "cuDNN", "pip install nvidia-cudnn-cu13"), (12080, "nvrtc", "NVRTC", "pip install nvidia-cuda-nvrtc-cu12"),
        ] as [(Int32, String, String, String)])
        func missingLibrary(driver: Int32, prefix: String, name: String, remedy: String) throws {
            installEmulation(driver: driver)
            emulated_hide(prefix)
            let error = try refusal()
            #expect(error.kind == CCUDA_MISSING_LIBRARY)
            #expect(text(error).hasPrefix("\(name) cannot be opened") && text(error).contains(remedy + "\n") && text(error).contains("LORALAB_CUDA"))
        }

        @Test("an old driver is told with its version and the one that is needed")
        func oldDriver() throws {
            installEmulation(driver: 11080)
            let error = try refusal()
            #expect(error.kind == CCUDA_OLD_DRIVER && text(error).contains("11.8") && text(error).contains("525"))
        }

        @Test("no card, a number beyond the last, and a card without bfloat16 are refused with the reason")
        func noCard() throws {
            installEmulation(devices: 0)
            #expect(try refusal().kind == CCUDA_NO_DEVICE)
            installEmulation(devices: 2)
            for device in [-1, 2] as [Int32] {
                let error = try refusal(device)
                #expect(error.kind == CCUDA_NO_DEVICE && text(error).contains("no card \(device)") && text(error).contains("sees 2"))
            }
            installEmulation(capability: 75)
            let error = try refusal()
            #expect(error.kind == CCUDA_OLD_DEVICE && text(error).contains("7.5") && text(error).contains("8.0"))
        }

        @Test("what fails on the way leaves nothing behind",
              arguments: ["cuDevicePrimaryCtxRetain", "cuStreamCreate", "cublasLtCreate", "cuMemAlloc_v2", "cudnnCreate"])
        func opensOrNot(symbol: String) throws {
            installEmulation()
            emulated_fail(symbol, 2, 0)
            let error = try refusal()
            #expect(error.kind != CCUDA_OK && !text(error).isEmpty)
            #expect(emulated_memory_used() == 0)
        }

        @Test("the card is described with name, capability and memory")
        func description() throws {
            try withCard(memory: 3 << 30) { card in
                var properties = ccuda_properties()
                ccuda_get_properties(card, &properties)
                #expect(string(properties.name) == "Emulated card 0" && properties.capability == 90 && properties.memory == 3 << 30)
                #expect(properties.memoryFree == 3 << 30 - emulated_memory_used() && properties.sharedMemory == 227 << 10)
            }
            #expect(emulated_memory_used() == 0)
        }

        @Test("LORALAB_CUDA is searched first, and a file that is no such library is told", arguments: ["libnvrtc.so.13", "cu13/lib/libnvrtc.so.13"])
        func search(path: String) throws {
            try withFolder { folder in
                let file = folder.appending(path: path)
                try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data("no library".utf8).write(to: file)
                ccuda_set_stand_in(nil)
                defer { installEmulation() }
                var libraries = [ccuda_library](repeating: ccuda_library(), count: Int(CCUDA_LIBRARIES))
                withEnvironment("LORALAB_CUDA", "/nowhere:\(folder.path)") { ccuda_find_libraries(&libraries) }
                #expect(string(libraries[1].name) == "NVRTC")
                // Where another NVRTC is installed, that one is taken; else the file's fault is told rather than that nothing is found.
                #expect(libraries[1].found || string(libraries[1].path).contains(path))
            }
        }
    }
}
