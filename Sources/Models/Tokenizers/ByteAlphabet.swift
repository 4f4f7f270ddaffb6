/// GPT-2's table of 256 printable stand-ins for bytes, by which any text can be written without unknown symbols.
///
/// Printable Latin-1 stands for itself; the other 68 bytes take U+0100 and up, in order. CLIP's vocabulary lists the
/// symbols in the table's own order: the printable ones first.
enum ByteAlphabet {
    /// Bytes in the order in which a vocabulary lists them.
    static let order: [UInt8] = {
        let printable = (0x21...0x7E).map { UInt8($0) } + (0xA1...0xAC).map { UInt8($0) } + (0xAE...0xFF).map { UInt8($0) }
        let isPrintable = Set(printable)
        return printable + (0...255).map { UInt8($0) }.filter { !isPrintable.contains($0) }
    }()

    /// Stand-in of each byte.
    static let symbols: [Unicode.Scalar] = {
        var table = [Unicode.Scalar](repeating: "\0", count: 256)
        var next: UInt16 = 0x100
        for (position, byte) in order.enumerated() {
            if position < 188 {
                table[Int(byte)] = Unicode.Scalar(byte)
            } else {
                table[Int(byte)] = Unicode.Scalar(next) ?? "\0"
                next += 1
            }
        }
        return table
    }()

    /// The way back.
    static let bytes: [Unicode.Scalar: UInt8] = Dictionary(
        uniqueKeysWithValues: symbols.enumerated().map { ($0.element, UInt8($0.offset)) })
}
