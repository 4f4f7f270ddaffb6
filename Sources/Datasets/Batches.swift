import TensorCore

/// How often each item is visited in an epoch when there are regularisation pictures.
enum RegularisationRule {
    /// Visits by item index. Regularisation pictures are taken in order with their own repeats until there are as many visits
    /// as training visits; when they run out, each is visited once more, and so on (sd-scripts `DreamBoothDataset`).
    static func visits(_ items: [DatasetItem]) -> [Int: Int] {
        var visits: [Int: Int] = [:]
        var wanted = 0
        for (index, item) in items.enumerated() where !item.isRegularisation {
            visits[index] = item.repeats
            wanted += item.repeats
        }
        let regularisation = items.indices.filter { items[$0].isRegularisation }
        var placed = 0, isFirstRound = true
        while placed < wanted, !regularisation.isEmpty {
            for index in regularisation where placed < wanted {
                let count = isFirstRound ? items[index].repeats : 1
                visits[index, default: 0] += count
                placed += count
            }
            isFirstRound = false
        }
        return visits
    }
}

extension Dataset {
    /// The batches of an epoch: indices of `items`, one bucket to a batch, in an order fixed by seed and epoch.
    /// - Parameters:
    ///   - epoch: counted from 1; each has an order of its own.
    public func batches(size: Int, seed: UInt64, epoch: Int) -> [[Int]] {
        precondition(size > 0, "a batch of \(size) pictures")
        var generator = TorchGenerator(seed: seed &+ UInt64(epoch))
        var batches: [[Int]] = []
        for bucket in visitsByBucket {
            let order = generator.permutation(bucket.count).map { bucket[$0] }
            for start in stride(from: 0, to: order.count, by: size) { batches.append(Array(order[start..<min(start + size, order.count)])) }
        }
        return generator.permutation(batches.count).map { batches[$0] }
    }

    /// Batches in an epoch: the sum over buckets of visits divided by the batch size, rounded up.
    public func batchesPerEpoch(size: Int) -> Int {
        precondition(size > 0, "a batch of \(size) pictures")
        return visitsByBucket.reduce(0) { $0 + ($1.count + size - 1) / size }
    }

    /// Pictures seen in an epoch, repeats and regularisation included.
    public var visitsPerEpoch: Int { visitsByBucket.reduce(0) { $0 + $1.count } }

    /// Item indices, each as often as it is visited; one list for each bucket, buckets in order of size.
    private var visitsByBucket: [[Int]] {
        let visits = RegularisationRule.visits(items)
        let buckets = Dictionary(grouping: visits.keys.sorted()) { items[$0].placement.bucket }
        return buckets.sorted { ($0.key.width, $0.key.height) < ($1.key.width, $1.key.height) }
            .map { _, indices in indices.flatMap { Array(repeating: $0, count: visits[$0] ?? 0) } }
    }
}
