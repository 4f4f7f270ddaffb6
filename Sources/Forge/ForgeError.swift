/// What can go wrong while the embedded model is made.
public enum ForgeError: Error, CustomStringConvertible {
    case diverged(stage: String, step: Int, loss: Float)
    case missing(stage: String, needs: String, command: String)
    case otherShape(stage: String, key: String, expected: [Int], found: [Int])
    case unreadable(path: String, reason: String)

    public var description: String {
        switch self {
        case .diverged(let stage, let step, let loss):
            "\(stage): the loss became \(loss) at step \(step); lower its learning rate in the recipe and run it again from its last state"
        case .missing(let stage, let needs, let command):
            "\(stage) needs \(needs), which is not there yet; make it with `\(command)`"
        case .otherShape(let stage, let key, let expected, let found):
            "the packaged \(stage) has \(key) of shape \(found), the recipe asks for \(expected); train it from its beginning instead"
        case .unreadable(let path, let reason):
            "\(path) cannot be used: \(reason)"
        }
    }
}
