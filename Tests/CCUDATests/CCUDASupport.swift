import CCUDA
import EmulatedCUDA
import Foundation
import Testing

/// Everything about CCUDA, on an emulated card. One test at a time: the libraries are the process'.
@Suite("CCUDA", .serialized) struct CCUDATests {}

/// The text of an error or failure.
func text(_ error: ccuda_error) -> String {
    withUnsafeBytes(of: error.text) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}

/// A string that C keeps in an array.
func string<Array>(_ array: Array) -> String {
    withUnsafeBytes(of: array) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}

/// What the emulation plays unless a test says otherwise.
func installEmulation(driver: Int32 = 13000, devices: Int32 = 1, capability: Int32 = 90, memory: Int = 1 << 30) {
    emulated_install()
    emulated_hide("")
    emulated_fail("", 0, 0)
    emulated_configure(driver, devices, capability, memory)
}

/// Opens card 0, hands it over, closes it, and expects all of its memory back.
func withCard(memory: Int = 1 << 30, _ body: (OpaquePointer) throws -> Void) throws {
    installEmulation(memory: memory)
    var error = ccuda_error()
    let card = try #require(ccuda_open(0, &error), "\(text(error))")
    defer {
        emulated_fail("", 0, 0)
        ccuda_close(card)
    }
    try body(card)
}

/// The kind of the failure that is kept, if there is one.
func failure(_ card: OpaquePointer) -> ccuda_kind? { ccuda_failure(card)?.pointee.kind }

/// A folder that is gone afterwards.
func withFolder(_ body: (URL) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "ccuda-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder)
}

/// Sets an environment variable meanwhile.
func withEnvironment(_ name: String, _ value: String, _ body: () throws -> Void) rethrows {
    let before = getenv(name).map { String(cString: $0) }
    setenv(name, value, 1)
    defer { if let before { setenv(name, before, 1) } else { unsetenv(name) } }
    try body()
}

/// A number rounded to bfloat16, as bits.
func bfloat16(_ x: Float) -> UInt16 { UInt16(truncatingIfNeeded: (x.bitPattern + 0x7fff + (x.bitPattern >> 16 & 1)) >> 16) }

/// An array on the card, whose values are rounded to its type on this side too.
struct CardArray {
    let card: OpaquePointer, type: ccuda_type, count: Int, address: UnsafeMutableRawPointer?

    /// Memory with values that are not numbers.
    init(_ card: OpaquePointer, _ type: ccuda_type, count: Int) {
        (self.card, self.type, self.count) = (card, type, count)
        address = ccuda_allocate(card, count * ccuda_type_size(type))
    }

    init(_ card: OpaquePointer, _ type: ccuda_type, _ values: [Float]) {
        self.init(card, type, count: values.count)
        if type == CCUDA_F32 { ccuda_upload(card, address, values, 4 * count) } else { ccuda_upload(card, address, values.map(bfloat16), 2 * count) }
    }

    /// What lies there now.
    var values: [Float] {
        if type == CCUDA_F32 {
            var values = [Float](repeating: 0, count: count)
            ccuda_download(card, &values, address, 4 * count)
            return values
        }
        var bits = [UInt16](repeating: 0, count: count)
        ccuda_download(card, &bits, address, 2 * count)
        return bits.map { Float(bitPattern: UInt32($0) << 16) }
    }
}

/// Values in −1…1, the same in every run, as the type holds them.
func numbers(_ count: Int, _ type: ccuda_type, seed: UInt64) -> [Float] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    return (0..<count).map { _ in
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        let value = Float((state &* 0x2545_F491_4F6C_DD1D) >> 40) / Float(1 << 23) - 1
        return type == CCUDA_F32 ? value : Float(bitPattern: UInt32(bfloat16(value)) << 16)
    }
}

/// The norm of the difference over the norm of the reference; not a number if a value is none.
func relativeError(_ values: [Float], _ reference: [Float]) -> Double {
    let difference = zip(values, reference).reduce(0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
    return (difference / max(reference.reduce(0) { $0 + Double($1) * Double($1) }, 1e-30)).squareRoot()
}

/// Sums are double in the emulation and single in CCompute; results of bfloat16 are rounded to 8 bits.
func tolerance(_ type: ccuda_type) -> Double { type == CCUDA_F32 ? 1e-5 : 1e-2 }
