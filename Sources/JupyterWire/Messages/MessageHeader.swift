/// The fields of a header that the kernel reads; the rest travels in the raw bytes.
public struct MessageHeader: Sendable, Equatable {
    public var messageID: String
    public var session: String
    public var username: String
    public var type: String
    public var version: String
    /// JEP 91: which subshell is to handle the request; `nil` for the main shell.
    public var subshellID: String?

    /// - Throws: `WireError.missingHeaderField` without `msg_type`; the others may be missing or strange.
    public init(_ json: JSON) throws(WireError) {
        guard let type = json["msg_type"]?.string else { throw .missingHeaderField("msg_type") }
        self.type = type
        messageID = json["msg_id"]?.string ?? ""
        session = json["session"]?.string ?? ""
        username = json["username"]?.string ?? ""
        version = json["version"]?.string ?? ""
        subshellID = json["subshell_id"]?.string
    }
}
