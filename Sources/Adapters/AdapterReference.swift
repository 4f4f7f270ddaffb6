/// An adapter file and the strengths it is applied at: `style.safetensors:0.8`, or with the text encoder's own
/// `style.safetensors:0.5:0.3`. Without numbers both are 1; with one, both are that.
public struct AdapterReference: Sendable, Equatable {
    public let path: String
    public let unet: Float, textEncoder: Float

    /// - Throws: `AdapterError.invalidReference` for an empty path or a strength that is not finite.
    public init(_ text: String) throws(AdapterError) {
        var parts = text.split(separator: ":", omittingEmptySubsequences: false)
        var numbers: [Float] = []
        // From the end, since a path may hold colons.
        while numbers.count < 2, parts.count > 1, let number = parts.last.flatMap({ Float($0) }) {
            numbers.insert(number, at: 0)
            parts.removeLast()
        }
        path = parts.joined(separator: ":")
        unet = numbers.first ?? 1
        textEncoder = numbers.last ?? 1
        guard !path.isEmpty, unet.isFinite, textEncoder.isFinite else { throw .invalidReference(text) }
    }
}
