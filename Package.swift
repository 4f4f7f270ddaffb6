// swift-tools-version: 6.1
import PackageDescription

/// Numeric targets: bounds and overflow are checked by preconditions at the borders, not in inner loops.
let numeric: [SwiftSetting] = [.unsafeFlags(["-Ounchecked"], .when(configuration: .release))]

func system(_ name: String, _ pkgConfig: String, _ apt: String) -> Target {
    .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([apt])])
}

func test(_ name: String, _ dependencies: Target.Dependency...) -> Target {
    .testTarget(name: "\(name)Tests", dependencies: [.byName(name: name), "TestSupport"] + dependencies)
}

let package = Package(
    name: "LoRALab",
    products: [.executable(name: "loralab", targets: ["loralab"]), .executable(name: "loralab-bench", targets: ["loralab-bench"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    ],
    targets: [
        // System libraries: module maps only, each imported by exactly one target (libcrypto by two: signatures and file hashes).
        system("CZeroMQ", "libzmq", "libzmq3-dev"),
        system("CCrypto", "libcrypto", "libssl-dev"),
        system("CSQLite", "sqlite3", "libsqlite3-dev"),
        system("COpenBLAS", "openblas", "libopenblas-dev"),
        system("CCairo", "pangocairo", "libpango1.0-dev"),
        system("CPNG", "libpng", "libpng-dev"),
        system("CEXIF", "libexif", "libexif-dev"),
        system("CJPEGLibrary", "libjpeg", "libjpeg-dev"),
        system("CWebP", "libwebpdemux", "libwebp-dev"),

        // Text and threads.
        .target(name: "Text"),                                                  // JSON, the name somebody meant
        .target(name: "Threads"),                                               // a value with its lock, threads that may block

        // Numbers.
        .target(name: "CCompute", cSettings: [.unsafeFlags(["-O3"])]),          // vectorised loops, run-time dispatch
        .target(name: "CMemory"),                                               // pages of programs, files that are cut while they are read
        .target(name: "CCUDA", cSettings: [.unsafeFlags(["-O3"])]),             // NVIDIA's libraries, opened when a card is asked for
        .target(name: "TensorCore", dependencies: ["CCompute", "CMemory", "COpenBLAS", "Threads"], swiftSettings: numeric),   // tensors, gradients, devices
        .target(                                                                // TensorCore's device on an NVIDIA card
            name: "CUDADevice", dependencies: ["TensorCore", "CCUDA"], exclude: ["kernels"]),   // CCUDA takes the kernels' text in
        .target(name: "Checkpoints", dependencies: ["TensorCore", "Text", "CCrypto", "CMemory"]),  // safetensors, file hashes
        .target(name: "Neural", dependencies: ["TensorCore", "Checkpoints"]),   // layers, losses, optimizers, schedules

        // Pictures.
        .target(name: "CImaging", dependencies: ["CPNG", "CJPEGLibrary", "CWebP", "CEXIF"]),  // setjmp-safe reading of picture files
        .target(name: "Imaging", dependencies: ["CImaging"]),                   // pixels, files, resizing
        .target(name: "Plotting", dependencies: ["Imaging", "CCairo"]),         // figures, contact sheets, grids
        .target(name: "Scenes", dependencies: ["Imaging"], swiftSettings: numeric),  // the 3D icon renderer and its captions

        // Stable Diffusion.
        .target(name: "Models", dependencies: ["Neural", "Checkpoints", "TensorCore", "Text", "Imaging"]),   // CLIP, UNet, VAE, BLIP, taggers
        .target(name: "Diffusion", dependencies: ["TensorCore", "Text"]),               // noise schedule, objective, samplers
        .target(name: "Adapters", dependencies: ["Neural", "Checkpoints", "TensorCore", "Text"]), // LoRA and its files
        .target(name: "Datasets", dependencies: ["TensorCore", "Text", "Imaging"]),     // folders, captions, buckets, caches
        .target(name: "Training", dependencies: ["Models", "Diffusion", "Adapters", "Datasets", "Neural", "Checkpoints", "TensorCore", "Text", "Imaging"]),
        .target(name: "TOML"),                                                  // Kohya's files, read so that no text can end the process
        .target(name: "Records", dependencies: ["CSQLite"]),                    // run history, cell history

        // Jupyter.
        .target(name: "JupyterWire", dependencies: ["Text", "Threads", "CZeroMQ", "CCrypto"]),     // frames, signatures, sockets
        .target(name: "Kernel", dependencies: ["JupyterWire", "Records", "Text", "Threads"]),      // loops, cells, magics' grammar
        .target(
            name: "Lab",                                                        // the session and its magics
            dependencies: [
                "Kernel", "Training", "Plotting", "Records", "Models", "Diffusion", "Adapters", "Datasets", "Neural", "Checkpoints",
                "TensorCore", "Text", "Threads", "Imaging", "TOML",
            ],
            resources: [.copy("Resources/embedded")]),
        .target(
            name: "Forge",                                                      // renders, trains, packages the embedded model
            dependencies: ["Training", "Scenes", "Models", "Diffusion", "Neural", "Checkpoints", "TensorCore", "Imaging", "Plotting"]),
        .target(                                                                // times and comparisons, on the processor and on a card
            name: "Bench",
            dependencies: [
                "CUDADevice", "Training", "Models", "Diffusion", "Adapters", "Neural", "Checkpoints", "TensorCore",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .executableTarget(name: "loralab-bench", dependencies: ["Bench"]),      // for a machine with a card alone: see Tests/device
        .executableTarget(
            name: "loralab",
            dependencies: [
                "Bench", "Lab", "Forge", "Kernel", "Scenes", "Imaging", "JupyterWire", "Models", "Neural", "TensorCore", "Training", "Diffusion", "Adapters", "Checkpoints",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            resources: [.copy("kernelspec")]),

        // Tests: a folder per target.
        .target(                                                                // the card's kernels as C++: run here, compared with plain loops
            name: "KernelsOnHost", dependencies: ["CCompute"], path: "Tests/KernelsOnHost",
            exclude: ["compile_all.py", "plant_faults.py", "test_compile.py"],
            cxxSettings: [
                .headerSearchPath("../../Sources/CCUDA/include"),
                .unsafeFlags(["-fsanitize=bounds,alignment", "-fsanitize-trap=bounds,alignment", "-fstrict-flex-arrays=3"]),
            ]),
        test("KernelsOnHost"),
        .target(name: "EmulatedCUDA", dependencies: ["CCUDA"], path: "Tests/EmulatedCUDA"),    // NVIDIA's libraries by plain loops
        test("CCUDA", "EmulatedCUDA", "CCompute"),
        test("CUDADevice", "CCUDA", "EmulatedCUDA", "KernelsOnHost", "TensorCore", "Models", "Adapters", "Neural", "Diffusion", "Checkpoints"),
        .target(name: "TestSupport", dependencies: ["TensorCore", "Checkpoints", "Neural"], path: "Tests/TestSupport"),
        test("Text"), test("CCompute"), test("TensorCore"), test("Checkpoints"), test("Neural", "Checkpoints", "TensorCore"), test("Imaging"), test("Plotting", "Imaging"),
        test("Scenes", "Imaging"), test("Models", "Neural", "Checkpoints", "TensorCore", "Imaging"), test("Diffusion"), test("Adapters", "Models", "Neural", "Checkpoints"),
        test("Datasets", "Imaging", "TensorCore"), test("Training", "Models", "Datasets", "Imaging", "Adapters", "Diffusion", "Neural", "Checkpoints"), test("TOML"),
        test("Records"), test("JupyterWire", "Threads"),
        test("Kernel", "JupyterWire", "Threads"), test("Lab", "Kernel", "Training", "Imaging", "Datasets", "Models", "Threads"), test("Forge", "Scenes", "Models"),
    ],
    cxxLanguageStandard: .cxx17)
