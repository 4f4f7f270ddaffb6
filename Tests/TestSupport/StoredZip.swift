/// A zip archive of stored entries, as PyTorch's checkpoints are.
public struct StoredZip {
    public let bytes: [UInt8]

    public init(_ entries: [(name: String, content: [UInt8])]) {
        func u32(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(value >> (8 * $0) & 255) } }
        var bytes: [UInt8] = [], directory: [UInt8] = []
        for (name, content) in entries {
            let common = [UInt8](repeating: 0, count: 12) + u32(content.count) + u32(content.count) + [UInt8(name.utf8.count), 0]
            directory += u32(0x0201_4B50) + [0, 0, 0, 0] + common + [UInt8](repeating: 0, count: 12) + u32(bytes.count) + Array(name.utf8)
            bytes += u32(0x0403_4B50) + [0, 0] + common + [0, 0] + Array(name.utf8) + content
        }
        let count = [UInt8(entries.count & 255), UInt8(entries.count >> 8)]
        self.bytes = bytes + directory + u32(0x0605_4B50) + [0, 0, 0, 0] + count + count + u32(directory.count) + u32(bytes.count) + [0, 0]
    }
}
