import JupyterWire
import Testing

@Suite struct Base64Tests {
    @Test("base64 has no line breaks", arguments: [([], ""), ([0x66], "Zg=="), (Array("foob".utf8), "Zm9vYg=="), ([UInt8](repeating: 0, count: 300), String(repeating: "A", count: 400))] as [([UInt8], String)])
    func base64(bytes: [UInt8], text: String) {
        #expect(Base64.encode(bytes) == text)
    }
}
