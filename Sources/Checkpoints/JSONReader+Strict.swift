import Text

extension JSONReader {
    /// Nesting allowed in what a weight file says of itself: nothing that is read is deeper than three.
    private static let weightFileDepth = 32

    /// A reader of weight files' own tables: half a surrogate pair is an error, for a name is to be found again by its bytes.
    static func strict(_ bytes: UnsafeRawBufferPointer, at offset: Int = 0) -> JSONReader {
        JSONReader(bytes, at: offset, depthLimit: weightFileDepth, loneSurrogates: .refused)
    }
}
