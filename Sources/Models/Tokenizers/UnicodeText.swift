import Foundation

/// The few Unicode operations that tokenizers are defined by, on scalars.
enum UnicodeText {
    /// Canonical composition (NFC).
    static func composed(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
        // Below U+0300 nothing combines, and every scalar is its own composition.
        scalars.allSatisfy { $0.value < 0x300 } ? scalars : normalised(scalars) { $0.precomposedStringWithCanonicalMapping }
    }

    /// Canonical decomposition (NFD).
    static func decomposed(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
        scalars.allSatisfy { $0.value < 0xC0 } ? scalars : normalised(scalars) { $0.decomposedStringWithCanonicalMapping }
    }

    /// Foundation loses a scalar from U+E0000 on (variation selectors, tags) and what follows it. Nothing there composes, so a text may
    /// be cut at them.
    private static func normalised(_ scalars: [Unicode.Scalar], by form: (String) -> String) -> [Unicode.Scalar] {
        var result: [Unicode.Scalar] = [], start = 0
        for (place, scalar) in scalars.enumerated() where scalar.value >= 0xE0000 {
            result += form(String(scalars[start..<place])).unicodeScalars
            result.append(scalar)
            start = place + 1
        }
        return result + form(String(scalars[start...])).unicodeScalars
    }

    /// Without the white space at both ends, what Python's `strip` takes for it.
    static func trimmed(_ text: String) -> String {
        func isSpace(_ scalar: Unicode.Scalar) -> Bool { ScalarClass(scalar) == .space || (0x1C...0x1F).contains(scalar.value) }
        let scalars = text.unicodeScalars
        let front = scalars.drop(while: isSpace)
        return String(front.reversed().drop(while: isSpace).reversed())
    }

    /// Lower case scalar by scalar: a final sigma is not told from another, as in Rust's `char::to_lowercase`.
    static func lowercased(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(scalars.count)
        for scalar in scalars {
            if scalar.isASCII {
                result.append((0x41...0x5A).contains(scalar.value) ? Unicode.Scalar(UInt8(scalar.value) + 0x20) : scalar)
            } else {
                result.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
            }
        }
        return result
    }
}

extension String {
    init(_ scalars: some Sequence<Unicode.Scalar>) {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        self.init(view)
    }
}

/// The classes of scalars that the split rules name.
enum ScalarClass {
    case letter, number, space, other

    @inline(__always) init(_ scalar: Unicode.Scalar) {
        if scalar.isASCII {
            self = switch scalar.value {
            case 0x61...0x7A, 0x41...0x5A: .letter
            case 0x30...0x39: .number
            case 0x20, 0x09...0x0D: .space
            default: .other
            }
            return
        }
        let properties = scalar.properties
        self = switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: .letter
        case .decimalNumber, .letterNumber, .otherNumber: .number
        default: properties.isWhitespace ? .space : .other
        }
    }
}

/// What is wrong with a tokenizer's files.
public enum TokenizerError: Error, Equatable, CustomStringConvertible {
    case unreadable(path: String, reason: String)
    case malformed(path: String, line: Int?, expected: String, found: String)
    case missingToken(path: String, token: String)

    public var description: String {
        switch self {
        case .unreadable(let path, let reason):
            "\(path): cannot be read (\(reason)). A tokenizer folder holds vocab.json and merges.txt (CLIP) or vocab.txt (BERT)."
        case .malformed(let path, let line, let expected, let found):
            "\(path)\(line.map { ", line \($0)" } ?? ""): expected \(expected), found \(found)."
        case .missingToken(let path, let token):
            "\(path): the vocabulary has no entry \"\(token)\", which the tokenizer cannot do without."
        }
    }
}

/// A whole file as bytes, or a typed error.
func readTokenizerFile(_ path: String) throws(TokenizerError) -> Data {
    do { return try Data(contentsOf: URL(fileURLWithPath: path)) } catch {
        throw .unreadable(path: path, reason: error.localizedDescription)
    }
}
