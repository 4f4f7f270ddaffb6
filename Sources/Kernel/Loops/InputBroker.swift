import JupyterWire
import Threads

/// Brings questions of running cells together with the answers on the stdin channel.
///
/// An answer counts only if it comes from the client that was asked and while a question is open: what nobody waits for is dropped when it is read. A question opens
/// when it is sent, after everything that had arrived before has been read, so a stale answer is not taken for a new one.
final class InputBroker: Sendable {
    private struct Question: Sendable {
        var number: Int
        var identities: [[UInt8]]
        var answer: String?
        var isOpen = false
        var isCancelled = false
    }

    private struct State: Sendable {
        var questions: [Question] = []
        var next = 0
    }

    private let state = Monitor(State())

    /// Lets `send` put a question on the wire, waits for the answer or an interrupt.
    ///
    /// - Parameter send: is given the question's number, by which the sender opens it.
    func ask(_ identities: [[UInt8]], interruption: Interruption, send: (Int) -> Void) throws -> String {
        let number = state.withLock { state in
            state.next += 1
            state.questions.append(Question(number: state.next, identities: identities))
            return state.next
        }
        interruption.onInterrupt { [state] _ in
            state.withLockAndBroadcast { state in
                for index in state.questions.indices where state.questions[index].number == number { state.questions[index].isCancelled = true }
            }
        }
        send(number)
        let question = state.wait { state -> Question? in
            guard let index = state.questions.firstIndex(where: { $0.number == number }) else { return nil }
            guard state.questions[index].answer != nil || state.questions[index].isCancelled else { return nil }
            return state.questions.remove(at: index)
        }
        guard !question.isCancelled, let answer = question.answer else { throw KeyboardInterrupt() }
        return answer
    }

    /// From now on answers to the question count.
    func open(_ number: Int) {
        state.withLock { state in
            for index in state.questions.indices where state.questions[index].number == number { state.questions[index].isOpen = true }
        }
    }

    /// Takes a message from the stdin channel.
    func receive(_ message: IncomingMessage) {
        guard message.type == "input_reply", let value = message.content["value"]?.string else { return }
        state.withLockAndBroadcast { state in
            let index = state.questions.firstIndex { $0.identities == message.identities && $0.isOpen && $0.answer == nil && !$0.isCancelled }
            if let index { state.questions[index].answer = value }
        }
    }
}
