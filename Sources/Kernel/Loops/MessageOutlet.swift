import JupyterWire

/// Where answers and broadcasts go: the sockets of a running kernel, or a recorder in tests.
package protocol MessageOutlet: Sendable {
    /// Answers a shell request.
    func reply(_ message: OutgoingMessage, to request: IncomingMessage)
    func publish(_ message: OutgoingMessage)
    func stream(_ name: StreamName, _ text: String, parent: ParentHeader)
    /// Asks the client that sent `request` for a line.
    func ask(prompt: String, password: Bool, for request: IncomingMessage, interruption: Interruption) throws -> String
    /// Says whose output file descriptors 1 and 2 carry from now on; `nil` discards it.
    func attributeOutput(to parent: ParentHeader?)
    /// Publishes everything that has been written to file descriptors 1 and 2.
    func drainOutput()
    /// Drains, and gives up waiting for the rest of a character that was begun: the cell is over.
    func endOutput()
}

extension MessageOutlet {
    func status(_ state: String, parent: ParentHeader) {
        publish(OutgoingMessage("status", ["execution_state": .string(state)], parent: parent))
    }
}
