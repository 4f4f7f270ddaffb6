import ArgumentParser
import Forge
import Foundation
import TensorCore

/// `loralab forge`: makes the embedded model, from pictures to packaged weights.
struct ForgeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forge", abstract: "Make the embedded model: render pictures, train its networks, measure and package them.",
        subcommands: [Render.self, Train.self, Evaluate.self, Package.self, Reopen.self, Demo.self])

    /// Where the product takes its embedded model from.
    static let packaged = "Sources/Lab/Resources/embedded"

    struct Place: ParsableArguments {
        @Option(help: "Folder in which the model is made; every command goes on from what is there.")
        var workshop = "out/forge"

        func run(_ recipe: Recipe = Recipe()) throws -> ForgeRun {
            try ForgeRun(recipe, workshop: Workshop(path: workshop)) { FileHandle.standardOutput.write(Data(($0 + "\n").utf8)) }
        }
    }

    struct Render: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Render the pictures that the networks learn from.")
        @OptionGroup var place: Place

        func run() throws { try place.run().render() }
    }

    struct Train: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Train one network, or all in their order.")
        @OptionGroup var place: Place
        @Argument(help: "autoencoder, decoder, denoiser or captioner; all when not given.") var network: ForgeRun.Network?
        @Option(help: "Stop after this many minutes, the state saved.") var minutes: Double?
        @Option(help: "Threads; all cores when not given.") var threads: Int?
        @Flag(help: "Begin a plan that is done once more, from the weights it ended with.") var again = false

        func run() throws {
            if let threads { Engine.setThreads(threads) }
            let forge = try place.run()
            for network in network.map({ [$0] }) ?? ForgeRun.Network.allCases {
                guard try forge.train(network, again: again, seconds: minutes.map { $0 * 60 }) else { return }
            }
        }
    }

    struct Evaluate: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Measure the packaged model on unseen pictures and prompts, and draw a sheet of icons.")
        @OptionGroup var place: Place
        @Option(help: "Pictures of each kind to measure on.") var pictures = 200
        @Flag(help: "Draw the sheet of icons only.") var sheetOnly = false
        @Option(help: "First seed of the pictures and prompts, from \(Recipe().unseenSeed) on: those that no training saw.") var seed = Recipe().unseenSeed
        @Option(help: "The packaged model.") var model = ForgeCommand.packaged

        func validate() throws {
            guard seed >= Recipe().unseenSeed else { throw ValidationError("--seed is \(seed); training may have seen pictures below \(Recipe().unseenSeed).") }
        }

        func run() throws {
            var recipe = Recipe()
            recipe.unseenSeed = seed
            let forge = try place.run(recipe)
            if sheetOnly { try forge.drawSheet(model) } else { print(try forge.evaluate(model, pictures: pictures)) }
        }
    }

    struct Package: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Write the model in diffusers' folder layout, float16.")
        @OptionGroup var place: Place
        @Argument(help: "Folder to write to.") var folder = ForgeCommand.packaged

        func run() throws { try place.run().package(to: folder) }
    }

    struct Reopen: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Fill a workshop with networks of a packaged model, to train them on where their states are no longer at hand.")
        @OptionGroup var place: Place
        @Argument(help: "autoencoder, denoiser or captioner.") var networks: [ForgeRun.Network]
        @Option(help: "The packaged model.") var model = ForgeCommand.packaged

        func run() throws { try place.run().reopen(networks, from: model) }
    }

    struct Demo: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Render the demonstration's pictures, in a style that the base model has not seen.")
        @OptionGroup var place: Place
        @Argument(help: "Folder to write to.") var folder = "notebooks/data"

        func run() throws { try place.run().renderDemo(to: folder + "/popsicle", heldOut: folder + "/popsicle-held-out") }
    }
}

extension ForgeRun.Network: ExpressibleByArgument {}
