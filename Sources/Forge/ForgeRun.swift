import Foundation
import Models
import TensorCore

/// The forge's commands: render, train, evaluate, package. Each goes on where it was interrupted.
public struct ForgeRun {
    let recipe: Recipe
    let workshop: Workshop
    let log: (String) -> Void

    public init(_ recipe: Recipe, workshop: Workshop, log: @escaping (String) -> Void) {
        (self.recipe, self.workshop, self.log) = (recipe, workshop, log)
    }

    /// The networks in the order in which they can be trained.
    public enum Network: String, CaseIterable, Sendable { case autoencoder, denoiser, captioner }

    public func render() throws { try PictureStore.render(recipe, to: workshop.picturesPath, log: log) }

    /// - Parameter seconds: stops after this long with the state saved; nil trains to the plan's end.
    /// - Returns: whether the network's plan is done.
    @discardableResult
    public func train(_ network: Network, seconds: Double? = nil) throws -> Bool {
        let runner = StageRunner(workshop: workshop, timeLimit: seconds, log: log)
        let pictures = try PictureStore(recipe, path: workshop.picturesPath)
        switch network {
        case .autoencoder: return try runner.run(AutoencoderStage(recipe, pictures: pictures))
        default: return false
        }
    }
}
