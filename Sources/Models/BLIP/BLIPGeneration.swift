import TensorCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

extension BLIP {
    /// How a caption is searched for. Lengths count the prompt's tokens and the start token, as in transformers.
    public struct GenerationOptions: Sendable, Equatable {
        public enum Search: Sendable, Equatable {
            /// The likeliest token at each step.
            case greedy
            /// The likeliest sequence among `count` kept ones.
            case beams(Int)
            /// Drawn from the likeliest tokens that together have probability `topP`, of at most `topK` (0: of all); a
            /// `temperature` above 1 evens the probabilities out, one below sharpens them.
            case nucleus(topP: Float, topK: Int, temperature: Float = 1, seed: UInt64)
        }
        public var search = Search.greedy
        /// Tokens at most, 20 by transformers' default.
        public var maximumLength = 20
        /// The end is not chosen before this many tokens.
        public var minimumLength = 0
        /// Above 1 makes tokens that have occurred less likely (Keskar et al. 2019, arXiv:1909.05858).
        public var repetitionPenalty: Float = 1
        /// Scores of beams are divided by `length^lengthPenalty`.
        public var lengthPenalty: Float = 1

        public init() {}
    }

    /// Captions pictures.
    ///
    /// - Parameters:
    ///   - pixels: `[B, H, W, 3]`, normalised as the preprocessor says.
    ///   - prompt: ids that every caption starts with, without start and end tokens.
    ///   - isCancelled: asked before every token; true ends the search with what there is.
    /// - Returns: for each picture the ids of start token, prompt and caption, with the end token if it was reached.
    public func generate(
        _ pixels: Tensor, prompt: [Int] = [], options: GenerationOptions = GenerationOptions(), isCancelled: () -> Bool = { false }
    ) -> [[Int]] {
        withoutGradients {
            let start = [configuration.text.bosTokenID] + prompt
            return (0..<pixels.shape[0]).map { index in
                let picture = encode(pixels.sliced(axis: 0, from: index, to: index + 1))
                var search = CaptionSearch(decoder: decoder, picture: picture, start: start, text: configuration.text, options: options)
                return search.run(picture: index, isCancelled: isCancelled)
            }
        }
    }
}

/// The search for one picture's caption, with transformers' rules for scores, lengths and ends.
private struct CaptionSearch {
    let decoder: BLIPTextDecoder
    let start: [Int]
    let text: BLIP.Text
    let options: BLIP.GenerationOptions
    var cache: BLIPTextDecoder.Cache

    init(decoder: BLIPTextDecoder, picture: Tensor, start: [Int], text: BLIP.Text, options: BLIP.GenerationOptions) {
        self.decoder = decoder
        self.start = start
        self.text = text
        self.options = options
        cache = decoder.cache(picture: picture)
    }

    var maximumLength: Int { min(options.maximumLength, text.maxPositionEmbeddings) }

    mutating func run(picture: Int, isCancelled: () -> Bool) -> [Int] {
        guard start.count < maximumLength else { return start }
        switch options.search {
        case .beams(let count) where count > 1: return beams(count, isCancelled)
        case .greedy, .beams: return single(isCancelled) { scores in scores.indices.max { scores[$0] < scores[$1] } ?? 0 }
        case .nucleus(let topP, let topK, let temperature, let seed):
            var generator = TorchGenerator(seed: seed &+ UInt64(picture))
            return single(isCancelled) { scores in
                Self.draw(scores.map { $0 / temperature }, topP: topP, topK: topK, generator.uniform(1)[0])
            }
        }
    }

    /// One sequence, each token picked from the processed logits.
    private mutating func single(_ isCancelled: () -> Bool, pick: ([Float]) -> Int) -> [Int] {
        var ids = start
        var fresh = start
        while ids.count < maximumLength, !isCancelled() {
            let scores = processed(decoder([fresh], cache: &cache).array, after: ids)
            let token = pick(scores)
            ids.append(token)
            if token == text.sepTokenID { break }
            fresh = [token]
        }
        return ids
    }

    /// Repetition penalty and minimum length, in transformers' order.
    private func processed(_ scores: [Float], after ids: [Int]) -> [Float] {
        var scores = scores
        if options.repetitionPenalty != 1 {
            for id in Set(ids) where scores.indices.contains(id) {
                scores[id] = scores[id] < 0 ? scores[id] * options.repetitionPenalty : scores[id] / options.repetitionPenalty
            }
        }
        if ids.count < options.minimumLength, scores.indices.contains(text.sepTokenID) { scores[text.sepTokenID] = -.infinity }
        return scores
    }

    /// Draws from the likeliest `topK` tokens without the tail whose probability is at most `1 − topP` (Holtzman et al. 2020,
    /// arXiv:1904.09751).
    private static func draw(_ logits: [Float], topP: Float, topK: Int, _ uniform: Float) -> Int {
        let order = likeliest(topK > 0 ? topK : logits.count, of: logits)
        let weights = order.map { exp(logits[$0] - logits[order[0]]) }
        let tail = (1 - topP) * weights.reduce(0, +)
        var kept = weights.count, dropped: Float = 0
        while kept > 1, dropped + weights[kept - 1] <= tail {
            dropped += weights[kept - 1]
            kept -= 1
        }
        var rest = uniform * weights[..<kept].reduce(0, +)
        for index in 0..<kept {
            rest -= weights[index]
            if rest < 0 { return order[index] }
        }
        return order[kept - 1]
    }

    /// Places of the `count` largest scores, largest first, of equals the first.
    private static func likeliest(_ count: Int, of scores: [Float]) -> [Int] {
        if count * 16 > scores.count {
            return Array(scores.indices.sorted { (scores[$0], $1) > (scores[$1], $0) }.prefix(count))
        }
        var best: [Int] = []
        best.reserveCapacity(count + 1)
        for index in scores.indices where best.count < count || scores[index] > scores[best[best.count - 1]] {
            best.insert(index, at: best.firstIndex { scores[$0] < scores[index] } ?? best.count)
            if best.count > count { best.removeLast() }
        }
        return best
    }

    private struct Beam {
        var ids: [Int]
        /// Sum of log-probabilities; for finished ones divided by the length.
        var score: Float
        /// Row of the cache it continues.
        var row = 0
    }

    /// Keeps the `count` likeliest sequences; of twice as many candidates a step those that end are set aside.
    private mutating func beams(_ count: Int, _ isCancelled: () -> Bool) -> [Int] {
        var running = [Beam(ids: start, score: 0)]
        var finished: [Beam] = []
        while !isCancelled() {
            let isFirst = running[0].ids.count == start.count
            let candidates = continuations(of: running, keep: 2 * count, isFirst: isFirst)
            let length = candidates[0].ids.count
            let divisor = Float(pow(Double(length - start.count), Double(options.lengthPenalty)))
            let isFull = length >= maximumLength
            for (rank, candidate) in candidates.enumerated() where rank < count && (isFull || candidate.ids.last == text.sepTokenID) {
                finished.append(Beam(ids: candidate.ids, score: candidate.score / divisor))
            }
            finished = Array(finished.sorted { $0.score > $1.score }.prefix(count))
            running = Array(candidates.filter { $0.ids.last != text.sepTokenID }.prefix(count))
            guard !isFull, !running.isEmpty else { break }
            if finished.count == count, running[0].score / divisor <= finished[count - 1].score { break }
            cache.select(running.map(\.row))
        }
        return (finished.first ?? running.first)?.ids ?? start
    }

    /// The `keep` likeliest continuations by one token, best first.
    private mutating func continuations(of running: [Beam], keep: Int, isFirst: Bool) -> [Beam] {
        let logProbabilities = decoder(isFirst ? [start] : running.map { [$0.ids[$0.ids.count - 1]] }, cache: &cache).logSoftmax()
        let values = logProbabilities.array, vocabulary = logProbabilities.shape[1]
        var best: [(score: Float, row: Int, token: Int)] = []
        for (row, beam) in running.enumerated() {
            let scores = processed(Array(values[row * vocabulary..<(row + 1) * vocabulary]), after: beam.ids)
            best += Self.likeliest(keep, of: scores.map { beam.score + $0 }).map { (beam.score + scores[$0], row, $0) }
        }
        best.sort { ($0.score, $1.row, $1.token) > ($1.score, $0.row, $0.token) }
        return best.prefix(keep).map { Beam(ids: running[$0.row].ids + [$0.token], score: $0.score, row: $0.row) }
    }
}
