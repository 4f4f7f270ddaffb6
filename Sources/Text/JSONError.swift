/// Why text is not JSON, or not what was to be read.
public struct JSONError: Error, Equatable, Sendable {
    public enum Reason: Equatable, Sendable {
        case invalidUTF8
        /// What should stand there and the byte that does; nil is the end.
        case expected(String, found: UInt8?)
        case invalidNumber
        /// A number that is not whole, is negative or needs more than 63 bits, where one is to be counted with.
        case notWhole
        case tooManyNumbers(limit: Int)
        case invalidEscape
        case loneSurrogate
        case controlCharacter
        case tooDeep(limit: Int)
    }
    public var reason: Reason
    /// Bytes from the start.
    public var offset: Int

    public init(reason: Reason, offset: Int) {
        self.reason = reason
        self.offset = offset
    }
}

extension JSONError: CustomStringConvertible {
    public var description: String {
        switch reason {
        case .invalidUTF8: "text that is not UTF-8"
        case .expected(let what, nil): "expected \(what), found the end"
        case .expected(let what, let byte?):
            "expected \(what), found " + (byte > 0x20 && byte < 0x7F ? "'\(Character(Unicode.Scalar(byte)))'" : "byte \(byte)")
        case .invalidNumber: "a number with a leading zero, or beyond all bounds"
        case .notWhole: "expected a whole number ≥ 0 of at most 63 bits, found another, a fraction or an exponent"
        case .tooManyNumbers(let limit): "a list of more than \(limit) numbers"
        case .invalidEscape: "an unknown escape in a string"
        case .loneSurrogate: "half of a surrogate pair"
        case .controlCharacter: "a control character in a string"
        case .tooDeep(let limit): "nested more than \(limit) deep"
        }
    }
}
