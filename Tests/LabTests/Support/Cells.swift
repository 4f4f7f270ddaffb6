import Foundation
import Imaging
import Kernel
import Lab
import Threads

/// Cells of a session without a kernel around them: runs magics as the kernel would and keeps what they show.
final class Cells {
    let session: Session
    let folder: String
    private let magics: [any Magic]
    private var count = 0

    private let ownsFolder: Bool

    /// A session whose model is the tiny one and whose folders are temporary.
    ///
    /// - Parameter folder: that of other cells, to go on from what they left.
    init(loadingModel: Bool = true, folder: String? = nil) throws {
        ownsFolder = folder == nil
        self.folder = folder ?? NSTemporaryDirectory() + "loralab-cells-\(UUID().uuidString)"
        let folder = self.folder
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        session = Session(folder: folder + "/data")
        magics = Lab.magics(session)
        if loadingModel { try session.loadModel(TinyModelFolder.path) }
    }

    deinit { if ownsFolder { try? FileManager.default.removeItem(atPath: folder) } }

    /// Runs `%name arguments`, with a body for `%%name`.
    ///
    /// - Parameter interruptWhen: asked at everything shown; true presses the interrupt button.
    @discardableResult
    func run(_ line: String, body: String? = nil, interruptWhen: @escaping @Sendable (CellEvent) -> Bool = { _ in false }) throws -> [CellEvent] {
        let words = line.split(separator: " ", maxSplits: 1).map(String.init)
        guard let magic = magics.first(where: { $0.specification.name == words[0] }) else { preconditionFailure("no magic \(words[0])") }
        let call = try MagicCall(arguments: words.count > 1 ? words[1] : "", of: magic.specification, body: body)
        count += 1
        let shown = Monitor<[CellEvent]>([]), interruption = Interruption()
        let cell = CellContext(executionCount: count, interruption: interruption) { event in
            shown.withLock { $0.append(event) }
            if interruptWhen(event) { interruption.interrupt() }
        }
        do { try magic.run(call, in: cell) } catch {
            last = shown.withLock { $0 }
            throw error
        }
        last = shown.withLock { $0 }
        return last
    }

    /// What the last cell showed, also when it failed.
    private(set) var last: [CellEvent] = []

    /// The error of a line that must fail.
    func failure(_ line: String, body: String? = nil) -> MagicError? {
        do {
            try run(line, body: body)
            return nil
        } catch {
            return error as? MagicError
        }
    }

    /// Pictures of random tiles in Kohya's layout, captioned unless told otherwise.
    ///
    /// - Returns: the parent folder.
    func makeDataset(_ name: String = "set", pictures: Int = 3, repeats: Int = 2, captioned: Bool = true) throws -> String {
        let parent = "\(folder)/\(name)", leaf = "\(parent)/\(repeats)_tiles"
        try FileManager.default.createDirectory(atPath: leaf, withIntermediateDirectories: true)
        for i in 0..<pictures {
            var picture = Pixels(width: 64, height: 64, colour: (UInt8(40 * i % 256), 120, 200))
            for y in 0..<32 { for x in 0..<32 { picture[x, y] = (200, UInt8(60 * i % 256), UInt8((x * y + i) % 256)) } }
            try PNG.write(picture, to: "\(leaf)/\(i).png")
            if captioned { try "style, a red cube \(i)\n".write(toFile: "\(leaf)/\(i).txt", atomically: true, encoding: .utf8) }
        }
        return parent
    }
}

extension [CellEvent] {
    /// Everything shown in words.
    var text: String {
        map { event in
            switch event {
            case .output(let text), .errorOutput(let text): text
            case .display(let data, _), .update(let data, _), .result(let data): data.plain + "\n"
            case .clear: ""
            }
        }.joined()
    }

    /// The pictures shown, the last state of each place.
    var pictures: [Pixels] {
        var order: [String] = [], latest: [String: [UInt8]] = [:]
        for (index, event) in enumerated() {
            switch event {
            case .display(let data, let id):
                let key = id ?? "#\(index)"
                order.append(key)
                latest[key] = data.png
            case .update(let data, let id): latest[id] = data.png
            default: break
            }
        }
        return order.compactMap { latest[$0] }.compactMap { try? PNG.decode($0) }
    }
}
