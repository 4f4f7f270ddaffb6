import Forge
import Foundation
import Models
import Testing

/// A folder of its own for one test, removed afterwards.
private func withFolder<R>(_ body: (String) throws -> R) throws -> R {
    let path = NSTemporaryDirectory() + "forge-" + UUID().uuidString
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}

/// The product's own networks, trained for a few steps on a few pictures.
private func shortRecipe() -> Recipe {
    var recipe = Recipe()
    recipe.pictures = 4
    recipe.drawnPictures = 2
    recipe.autoencoder = TrainingPlan(steps: 3, batch: 1, learningRate: 1e-3)
    recipe.decoder = TrainingPlan(steps: 1, batch: 1, learningRate: 1e-3)
    recipe.denoiser = TrainingPlan(steps: 2, batch: 2, learningRate: 1e-3)
    recipe.captioner = TrainingPlan(steps: 2, batch: 2, learningRate: 1e-3)
    return recipe
}

private func forge(_ path: String) throws -> ForgeRun { try ForgeRun(shortRecipe(), workshop: Workshop(path: path)) { _ in } }

@Suite("The forge")
struct ForgeRunTests {
    @Test("a training stopped after every step ends in the same bytes as one that never stopped")
    func interruptedEqualsUninterrupted() throws {
        try withFolder { whole in
            try withFolder { stopped in
                let first = try forge(whole), second = try forge(stopped)
                try first.render()
                try second.render()
                #expect(try first.train(.autoencoder))
                var stops = 0
                while try !second.train(.autoencoder, seconds: 0) { stops += 1 }
                #expect(stops == 3)
                let state = "/autoencoder.state.safetensors"
                #expect(try Data(contentsOf: URL(fileURLWithPath: whole + state)) == Data(contentsOf: URL(fileURLWithPath: stopped + state)))
            }
        }
    }

    @Test("a rendering cut short goes on to the same pictures")
    func renderingGoesOn() throws {
        try withFolder { path in
            let forge = try forge(path), pictures = URL(fileURLWithPath: path + "/pictures.rgb")
            try forge.render()
            let whole = try Data(contentsOf: pictures)
            #expect(whole.count == 4 * 128 * 128 * 3)
            try whole.prefix(whole.count / 2 + 1000).write(to: pictures)
            try forge.render()
            #expect(try Data(contentsOf: pictures) == whole)
        }
    }

    @Test("every network trains, and the packaged folder loads and is measured")
    func fromPicturesToPackage() throws {
        try withFolder { path in
            let forge = try forge(path), folder = path + "/model"
            try forge.render()
            for network in ForgeRun.Network.allCases { #expect(try forge.train(network)) }
            try forge.package(to: folder)
            let model = try BaseModel.load(folder: folder)
            #expect(model.unet.configuration.inChannels == model.autoencoder.configuration.latentChannels)
            #expect(model.scalingFactor != 1)
            let report = try forge.evaluate(folder, pictures: 1, icons: 1)
            #expect(report.autoencoderPSNR > 0 && report.autoencoderPSNR < 60)
            #expect(FileManager.default.fileExists(atPath: path + "/icons.png"))
        }
    }

    @Test("a packaged model reopened in an empty workshop counts as trained, packages to the same weights, and learns on when told to")
    func reopens() throws {
        try withFolder { path in
            let first = try forge(path + "/first"), second = try forge(path + "/second")
            try first.render()
            for network in ForgeRun.Network.allCases { try first.train(network) }
            try first.package(to: path + "/model")
            try second.render()
            try second.reopen(ForgeRun.Network.allCases, from: path + "/model")
            for network in ForgeRun.Network.allCases { #expect(try second.train(network)) }
            try second.package(to: path + "/same")
            func weights(_ model: String, _ file: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(model)/\(file)")) }
            let files = ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model", "captioner/model"].map { $0 + ".safetensors" }
            for file in files { #expect(try weights("same", file) == weights("model", file), "\(file)") }
            #expect(try second.train(.captioner, again: true))
            try second.package(to: path + "/further")
            #expect(try weights("further", files[3]) != weights("model", files[3]) && weights("further", files[0]) == weights("model", files[0]))
        }
    }

    @Test("a network asked for before what it needs names the command that makes it")
    func missingMaterial() throws {
        try withFolder { path in
            let error = #expect(throws: ForgeError.self) { try forge(path).train(.autoencoder) }
            #expect(error?.description.contains("loralab forge render") == true)
        }
    }
}

@Suite("TrainingPlan")
struct TrainingPlanTests {
    @Test("the rate climbs evenly, then falls to a fiftieth of its height")
    func rates() {
        let plan = TrainingPlan(steps: 1_100, batch: 1, learningRate: 1, warmupSteps: 100)
        #expect(abs(plan.learningRate(at: 49) - 0.5) < 1e-12)
        #expect(abs(plan.learningRate(at: 100) - 1) < 1e-12)
        #expect(abs(plan.learningRate(at: 600) - 0.51) < 1e-12)          // half way down the cosine: 0.02 + 0.98 / 2
        #expect(abs(plan.learningRate(at: 1_100) - 0.02) < 1e-12)
    }
}
