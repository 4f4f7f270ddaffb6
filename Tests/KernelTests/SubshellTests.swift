import JupyterWire
import Kernel
import Testing
import Threads

/// A whole kernel behind its sockets: frames in, frames out.
@Suite struct SubshellTests {
    private let signer: Signer
    private let client: WireSession
    private let kernel: WireSession
    private let outlet: RecordingOutlet
    private let shell: Subshell

    init() throws { try self.init(magics: []) }

    private init(magics: [any Magic]) throws {
        signer = try Signer(key: "key")
        client = WireSession(signer: signer)
        kernel = WireSession(signer: signer)
        outlet = RecordingOutlet(kernel)
        let configuration = KernelConfiguration(connectionFile: "", implementationVersion: "1", banner: "", magics: magics, historyFile: ":memory:")
        shell = Subshell(ShellService(configuration: configuration, outlet: outlet, log: { _ in }, ports: [:], shutDown: { _ in }))
    }

    private func send(_ type: String, _ content: JSON) throws {
        _ = shell.queue.append(try kernel.open(client.seal(OutgoingMessage(type, content, parent: .none), routing: [[1]])))
    }

    /// Runs the requests to the last one's idle.
    private func transcript(_ requests: [(String, JSON)]) throws -> [String] {
        for request in requests { try send(request.0, request.1) }
        let thread = SystemThread("test") { [shell] in shell.run() }
        defer {
            _ = shell.queue.close()
            thread.join()
        }
        return try outlet.transcript(idles: requests.count)
    }

    @Test("a cell from busy to idle")
    func cell() throws {
        #expect(try transcript([("execute_request", ["code": "%echo hello"])]) == [
            "iopub status busy", "iopub execute_input 1", "iopub stream hello\n", "shell execute_reply ok", "iopub status idle",
        ])
    }

    @Test("a cell that fails aborts the executes behind it, nothing else")
    func failure() throws {
        let requests: [(String, JSON)] = [
            ("execute_request", ["code": "%fail"]), ("execute_request", ["code": "%echo never"]), ("is_complete_request", ["code": ""]), ("execute_request", ["code": "%echo never"]),
        ]
        #expect(try transcript(requests) == [
            "iopub status busy", "iopub execute_input 1", "iopub error Failure", "shell execute_reply error", "iopub status idle",
            "iopub status busy", "shell execute_reply aborted", "iopub status idle", "iopub status busy", "shell is_complete_reply complete", "iopub status idle",
            "iopub status busy", "shell execute_reply aborted", "iopub status idle",
        ])
    }

    @Test("without stop_on_error the next cell runs")
    func goingOn() throws {
        let transcript = try transcript([("execute_request", ["code": "%fail", "stop_on_error": false]), ("execute_request", ["code": "%echo next"])])
        #expect(transcript.contains("iopub stream next\n"))
    }

    @Test("a silent cell publishes its status only, and does not count")
    func silent() throws {
        #expect(try transcript([("execute_request", ["code": "%echo x\n%display y\n%result z", "silent": true, "store_history": true])]) == [
            "iopub status busy", "shell execute_reply ok", "iopub status idle",
        ])
        #expect(try outlet.last("execute_reply")?["execution_count"] == 0)
    }

    @Test("an unknown request has a status and no reply")
    func unknown() throws {
        #expect(try transcript([("nonsense_request", [:])]) == ["iopub status busy", "iopub status idle"])
    }

    @Test("input goes through the outlet when the request allows it")
    func input() throws {
        #expect(try transcript([("execute_request", ["code": "%input name", "allow_stdin": true])]).contains("iopub stream answer to name\n"))
    }

    @Test("a magic's own error points at the argument it names")
    func argumentError() throws {
        let magic = SampleMagic { _, _ in throw MagicError("NotFound", "no such rank", hint: "Try 4.", at: "network_dim") }
        _ = try SubshellTests(magics: [magic]).check { suite in
            #expect(try suite.transcript([("execute_request", ["code": "# é\n%draw a --rank 5"])]).contains("iopub error NotFound"))
            let traceback = try #require(try suite.outlet.last("error")?["traceback"]?.array?.compactMap(\.string))
            #expect(traceback.contains("  line 2 | %draw a --rank 5"))
            #expect(traceback.contains { $0.hasPrefix("  " + String(repeating: " ", count: 9 + 15) + "\u{1B}[31m^\u{1B}") })
            #expect(traceback.last == "Try 4.")
        }
    }

    private func check(_ body: (SubshellTests) throws -> Void) rethrows { try body(self) }

    @Test("two magics that change the session never run at once; one that only reads may")
    func exclusion() throws {
        let isInside = Monitor(false), isReleased = Monitor(false)
        let slow = SampleMagic { _, _ in
            isInside.withLockAndBroadcast { $0 = true }
            isReleased.wait { $0 ? () : nil }
        }
        let kernel = try Signer(key: "key")
        let session = WireSession(signer: kernel), other = WireSession(signer: kernel)
        let outlet = RecordingOutlet(session)
        let service = ShellService(
            configuration: KernelConfiguration(connectionFile: "", implementationVersion: "1", banner: "", magics: [slow], historyFile: ":memory:"), outlet: outlet, log: { _ in }, ports: [:],
            shutDown: { _ in })
        let shells = [Subshell(service), Subshell(service)]
        let threads = shells.map { shell in SystemThread("test") { shell.run() } }
        func send(_ code: String, to shell: Int) throws {
            _ = shells[shell].queue.append(try session.open(other.seal(OutgoingMessage("execute_request", ["code": .string(code)], parent: .none), routing: [])))
        }
        try send("%draw", to: 0)
        isInside.wait { $0 ? () : nil }
        try send("%draw", to: 1)
        try send("%echo beside", to: 1)
        #expect(try outlet.transcript(idles: 1).contains("iopub error Busy"))
        isReleased.withLockAndBroadcast { $0 = true }
        _ = try outlet.transcript(idles: 3)
        for shell in shells { _ = shell.queue.close() }
        for thread in threads { thread.join() }
    }

    @Test("an interrupt wakes a waiting cell and its handlers, and tells how often it came")
    func interruption() throws {
        let interruption = Interruption()
        let counts = Monitor<[Int]>([])
        interruption.onInterrupt { count in counts.withLock { $0.append(count) } }
        let cell = CellContext(interruption: interruption) { _ in }
        let thread = SystemThread("test") { interruption.interrupt() }
        #expect(throws: KeyboardInterrupt.self) { try cell.sleep(seconds: 30) }
        thread.join()
        interruption.interrupt()
        #expect(counts.withLock { $0 } == [1, 2])
        #expect(throws: KeyboardInterrupt.self) { try cell.checkInterrupted() }
    }

    @Test("magics can be run without a kernel")
    func contextAlone() throws {
        let events = Monitor<[CellEvent]>([])
        let cell = CellContext { event in events.withLock { $0.append(event) } }
        cell.write("a")
        cell.display(DisplayData(plain: "b"), id: "x")
        #expect(events.withLock { $0 } == [.output("a"), .display(DisplayData(plain: "b"), id: "x")])
        #expect(throws: MagicError.self) { try cell.input(prompt: "?") }
    }
}
