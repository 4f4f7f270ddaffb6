/// A weight file that cannot be read, written, or does not hold what a model asks for.
///
/// Each case names the file, what was expected, what was found; `description` says it in words and
/// `wayOut` says what to do about it.
public enum CheckpointError: Error, Equatable, Sendable {
    // The file
    case unreadable(file: String, reason: String)
    /// The file is something else: `found` names it ("a PNG picture"), `wayOut` says how to get the right one.
    case notSafetensors(file: String, found: String, wayOut: String)
    /// Sizes in bytes.
    case truncated(file: String, expected: UInt64, found: UInt64)
    /// A file that is in use is no longer what it was when it was opened; `how` says what has changed ("it has been written to").
    case changed(file: String, how: String)
    case malformedHeader(file: String, offset: Int, reason: String)
    case malformedIndex(file: String, reason: String)
    /// A PyTorch checkpoint's zip archive.
    case malformedArchive(file: String, reason: String)
    case malformedPickle(file: String, offset: Int, reason: String)
    /// A pickle that names something else than tensors: opening it elsewhere could run code.
    case forbiddenPickle(String, file: String)

    // An entry
    case duplicateKey(String, file: String)
    case unknownType(key: String, found: String, file: String)
    case invalidEntry(key: String, expected: String, found: String, file: String)

    // What a model asks for
    case missingKey(String, file: String)
    case shapeMismatch(key: String, expected: [Int], found: [Int], file: String)
    case notFloatingPoint(key: String, found: String, file: String)
    case notInteger(key: String, found: String, file: String)
    case unusedKeys([String], file: String)

    // Writing
    case invalidName(String, reason: String, file: String)
    case cannotWrite(file: String, reason: String, wayOut: String)
}

extension CheckpointError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unreadable(let file, let reason): "\(file) cannot be read: \(reason)"
        case .notSafetensors(let file, let found, _): "\(file) is not a safetensors file, it is \(found)"
        case .truncated(let file, let expected, let found):
            "\(file) is cut short: its header asks for \(expected) bytes, the file has \(found)"
        case .changed(let file, let how): "\(file) has changed since it was loaded: \(how)"
        case .malformedHeader(let file, let offset, let reason):
            "the safetensors header of \(file) is broken at byte \(offset): \(reason)"
        case .malformedIndex(let file, let reason): "the index \(file) is broken: \(reason)"
        case .malformedArchive(let file, let reason): "the PyTorch checkpoint \(file) cannot be read: \(reason)"
        case .malformedPickle(let file, let offset, let reason):
            "the table of the PyTorch checkpoint \(file) is broken at byte \(offset): \(reason)"
        case .forbiddenPickle(let name, let file):
            "\(file) asks for \(quoted(name)), which is no tensor; a checkpoint that asks for such things can run code, and is not opened"
        case .duplicateKey(let key, let file): "\(quoted(key)) stands twice in \(file)"
        case .unknownType(let key, let found, let file):
            "\(quoted(key)) in \(file) has the element type \(quoted(found)); known are "
                + StoredType.allCases.map(\.rawValue).joined(separator: " ")
        case .invalidEntry(let key, let expected, let found, let file):
            "\(quoted(key)) in \(file): expected \(expected), found \(found)"
        case .missingKey(let key, let file): "\(file) has no tensor \(quoted(key))"
        case .shapeMismatch(let key, let expected, let found, let file):
            "\(quoted(key)) in \(file): expected shape \(expected), found \(found)"
        case .notFloatingPoint(let key, let found, let file):
            "\(quoted(key)) in \(file): expected floating-point numbers, found \(found)"
        case .notInteger(let key, let found, let file): "\(quoted(key)) in \(file): expected integers, found \(found)"
        case .unusedKeys(let keys, let file):
            "\(file) holds \(keys.count) tensor\(keys.count == 1 ? "" : "s") that the model has no place for: "
                + keys.prefix(5).map(quoted).joined(separator: ", ") + (keys.count > 5 ? " …" : "")
        case .invalidName(let name, let reason, let file): "\(quoted(name)) cannot be written to \(file): \(reason)"
        case .cannotWrite(let file, let reason, _): "\(file) cannot be written: \(reason)"
        }
    }

    /// What the user can do about it, one sentence.
    public var wayOut: String {
        switch self {
        case .unreadable: "Check the path and the permissions of the file."
        case .notSafetensors(_, _, let wayOut), .cannotWrite(_, _, let wayOut): wayOut
        case .truncated: "The download or copy stopped early: fetch the file again and compare its size."
        case .changed: "Wait until nothing writes to it any more, then load it again."
        case .forbiddenPickle: "Get the .safetensors release of the same model, or have the file's author save its state_dict alone."
        case .malformedHeader, .malformedIndex, .malformedArchive, .malformedPickle, .duplicateKey, .invalidEntry:
            "The file is damaged or was written by a faulty program: fetch it again or save it anew."
        case .unknownType: "Save the tensor as F32, F16 or BF16."
        case .missingKey, .shapeMismatch, .unusedKeys:
            "The file belongs to another model, or config.json beside it does not describe it: check both."
        case .notFloatingPoint: "Save the tensor as F32, F16 or BF16."
        case .notInteger: "Save the tensor as I64 or I32."
        case .invalidName: "Give every tensor a name of its own."
        }
    }
}

/// A key or name from a file, in quotes, cut to a readable length, without control characters.
func quoted(_ text: String) -> String {
    var shown = ""
    for scalar in text.unicodeScalars.prefix(120) { shown.unicodeScalars.append(scalar.value < 32 || scalar.value == 127 ? "·" : scalar) }
    return "\"\(shown)\(text.unicodeScalars.count > 120 ? "…" : "")\""
}
