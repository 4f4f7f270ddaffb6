import Foundation
import Kernel
import Lab
import Testing
import Threads

/// Cells of subshells beside a cell that trains: they read what the session has published and post to it, and a run takes no harm.
@Suite("beside a training") struct BesideTrainingTests {
    /// What each onlooker does in a round, and what it does in every tenth, for drawing takes its time.
    private static let lines = ["status", "set lr=%", "status", "set clip=1"], drawing = ["plot", "plot loss norm --all"]
    private static let rounds = 120, onlookers = 3

    /// A subshell without a kernel: runs magics that may run beside others, completes and inspects.
    private struct Onlooker: Sendable {
        let table: MagicTable
        let number: Int

        /// - Returns: the steps that `%status` told, in order.
        func look() throws -> [Int] {
            var steps: [Int] = []
            for round in 0..<rounds {
                for line in lines + (round.isMultiple(of: 10) ? drawing : []) {
                    let shown = try run(line.replacingOccurrences(of: "%", with: "1e-\(3 + (round + number) % 3)"))
                    for case .display(let data, _) in shown {
                        if let status = data.further["application/vnd.loralab.status+json"] { steps.append(status["steps"]?.integer ?? -1) }
                        #expect(data.plain.isEmpty == false)
                    }
                }
                for code in ["%train --ep", "%set l", "%sample --epochs ", "%caption show "] {
                    #expect(!Completion(of: code, at: code.unicodeScalars.count, table).matches.isEmpty, "\(code)")
                }
                #expect(Inspection.documentation(of: "%train --lr", at: 9, table) != nil)
            }
            return steps
        }

        private func run(_ line: String) throws -> [CellEvent] {
            let words = line.split(separator: " ", maxSplits: 1).map(String.init)
            let magic = try table.magic(named: words[0], marker: "%")
            #expect(magic.specification.runsAlongside)
            let shown = Monitor<[CellEvent]>([])
            let cell = CellContext { event in shown.withLock { $0.append(event) } }
            try magic.run(try MagicCall(arguments: words.count > 1 ? words[1] : "", of: magic.specification), in: cell)
            return shown.withLock { $0 }
        }
    }

    @Test("%plot, %status, %set and completion work thousands of times from other threads while a run goes on, which loses no step")
    func onlookers() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        try cells.run("train --steps 2 --batch 2 --rank 2 --seed 3 --output_name before")
        let session = cells.session, table = MagicTable(Lab.magics(session))
        let left = Monitor(Self.onlookers), found = Monitor<[Result<[Int], any Error>]>([])
        let hasBegun = Monitor(false)
        #expect(throws: KeyboardInterrupt.self) {
            try cells.run("train --fresh --steps 1000000 --batch 2 --rank 2 --seed 3 --scheduler constant --save_every 0", interruptWhen: { event in
                let begins = hasBegun.withLock { begun in
                    guard !begun, case .display(let data, _) = event, data.png != nil else { return false }     // the plot comes with the first step
                    begun = true
                    return true
                }
                for number in 0..<(begins ? Self.onlookers : 0) {
                    Thread.detachNewThread {
                        let result = Result { try Onlooker(table: table, number: number).look() }
                        found.withLock { $0.append(result) }
                        left.withLock { $0 -= 1 }
                    }
                }
                return left.withLock { $0 == 0 } && session.status.steps >= 10
            })
        }
        let results = found.withLock { $0 }
        #expect(results.count == Self.onlookers)
        for result in results {
            let steps = try result.get()
            #expect(steps.count == Self.rounds * 2 && steps == steps.sorted())
        }
        let history = session.history
        #expect(history.steps.map(\.step) == Array(1...history.steps.count))
        #expect(session.status.steps == history.steps.count)
        #expect(try cells.run("plot --all").text.contains("2 runs"))
    }

    @Test("a history that was read stays as it was while the run goes on")
    func readHistoryIsAValue() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        try cells.run("train --steps 3 --batch 2 --rank 2")
        let read = cells.session.history
        try cells.run("train --steps 2")
        #expect(read.steps.count == 3)
        #expect(cells.session.history.steps.count == 5 && Array(cells.session.history.steps.prefix(3)) == read.steps)
    }

    @Test("%status tells the steps done while the run goes on")
    func stepsWhileTraining() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        let session = cells.session, seen = Monitor<Set<Int>>([])
        try cells.run("train --steps 6 --batch 6 --rank 2", interruptWhen: { _ in
            _ = seen.withLock { $0.insert(session.status.steps) }
            return false
        })
        #expect(seen.withLock { $0 }.isSuperset(of: [1, 6]))
    }
}
