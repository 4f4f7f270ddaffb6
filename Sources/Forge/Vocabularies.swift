import Foundation
import Models
import Scenes

/// The two tokenizers, made from captions of the rendered pictures.
struct Vocabularies {
    let clip: CLIPTokenizer
    let captioner: BERTTokenizer

    /// Reads them from the workshop; makes them first when they are not there.
    init(_ recipe: Recipe, workshop: Workshop) throws {
        if !workshop.exists(workshop.tokenizerPath + "/merges.txt") { try Self.makeCLIP(recipe, workshop) }
        if !workshop.exists(workshop.captionerVocabularyPath) { try Self.makeCaptioner(recipe, workshop) }
        clip = try CLIPTokenizer(folder: workshop.tokenizerPath)
        captioner = try BERTTokenizer(vocabulary: workshop.captionerVocabularyPath)
    }

    private static func makeCLIP(_ recipe: Recipe, _ workshop: Workshop) throws {
        let captions = (0..<recipe.pictures).map { index in
            var generator = SplitMix64(seed: recipe.seed &+ UInt64(index))
            return Scene.random(using: &generator).caption(using: &generator)
        }
        try BPETrainer(texts: captions, mergeLimit: recipe.merges).vocabulary.write(folder: workshop.tokenizerPath, modelMaxLength: Recipe.promptTokens)
    }

    private static func makeCaptioner(_ recipe: Recipe, _ workshop: Workshop) throws {
        let captions = (0..<recipe.pictures).map { CaptionerStage.caption(of: PictureStore.scene(seed: recipe.seed &+ UInt64($0))) }
        try WordPieceVocabulary(texts: captions).write(to: workshop.captionerVocabularyPath)
    }
}
