import JupyterWire
import Kernel
import Threads

/// Takes the place of the sockets: what a kernel would send is kept as frames, in order.
final class RecordingOutlet: MessageOutlet {
    private let frames = Monitor<[(channel: String, frames: [[UInt8]])]>([])
    private let session: WireSession

    init(_ session: WireSession) { self.session = session }

    func reply(_ message: OutgoingMessage, to request: IncomingMessage) { keep("shell", message, request.identities) }
    func publish(_ message: OutgoingMessage) { keep("iopub", message, [Array(message.type.utf8)]) }
    func stream(_ name: StreamName, _ text: String, parent: ParentHeader) {
        publish(OutgoingMessage("stream", ["name": .string(name.rawValue), "text": .string(text)], parent: parent))
    }
    func ask(prompt: String, password: Bool, for request: IncomingMessage, interruption: Interruption) throws -> String { "answer to \(prompt)" }
    func attributeOutput(to parent: ParentHeader?) {}
    func drainOutput() {}
    func endOutput() {}

    private func keep(_ channel: String, _ message: OutgoingMessage, _ routing: [[UInt8]]) {
        let sealed = session.seal(message, routing: routing)
        frames.withLockAndBroadcast { $0.append((channel, sealed)) }
    }

    /// Waits for the idle status of a request and returns all messages up to it, as `channel type detail`.
    func transcript(idles: Int = 1) throws -> [String] {
        let all = frames.wait { frames -> [(channel: String, frames: [[UInt8]])]? in
            let count = frames.filter { String(decoding: $0.frames.last!, as: UTF8.self).contains("\"idle\"") }.count
            return count >= idles ? frames : nil
        }
        return try all.map { channel, frames in
            let parts = try Frames(splitting: frames).parts
            let type = try JSON(parsing: parts[0])["msg_type"]!.string!
            let content = try JSON(parsing: parts[3])
            let detail = ["execution_state", "text", "status", "ename"].compactMap { content[$0]?.string }.first ?? content["execution_count"]?.integer.map(String.init)
            return [channel, type, detail].compactMap { $0 }.joined(separator: " ")
        }
    }

    /// Content of the last message of a type.
    func last(_ type: String) throws -> JSON? {
        for (_, frames) in frames.withLock({ $0 }).reversed() {
            let parts = try Frames(splitting: frames).parts
            if try JSON(parsing: parts[0])["msg_type"]?.string == type { return try JSON(parsing: parts[3]) }
        }
        return nil
    }
}
