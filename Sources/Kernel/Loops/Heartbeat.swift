import JupyterWire

/// Echoes every ping. A ROUTER rather than a REP, so that a malformed ping cannot stall it; its own libzmq context, so that nothing else can.
struct Heartbeat: Sendable {
    let socket: ZMQSocket
    let stop: WakeSignal

    /// The thread's loop; ends when `stop` is raised.
    func run() {
        while ZMQPoll.wait(for: [socket], or: stop, milliseconds: -1)[0] {
            while let frames = socket.receive() {
                if !frames.isEmpty { socket.send(frames) }
            }
        }
        socket.close()
    }
}
