import Records
import Testing

@Suite struct RunStoreTests {
    private let store = RunStore(file: ":memory:")

    @Test("a run is listed with what was recorded for it")
    func listing() throws {
        let run = try store.create(name: "first", configuration: "{\"lr\":1e-4}")
        try store.append([.init(series: "loss", step: 1, epoch: 0.5, value: 0.25), .init(series: "lr", step: 2, epoch: 1, value: 1e-4)], to: run)
        let record = try #require(try store.record(run))
        #expect(record.name == "first" && record.state == .running && record.ended == nil && record.lastStep == 2 && record.configuration == "{\"lr\":1e-4}")
        #expect(record.started.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
        let second = try store.create(name: "second", configuration: "")
        #expect(try store.list().map(\.id) == [second, run])
        #expect(try store.record(99) == nil)
    }

    @Test("series come back in order of steps, exactly")
    func series() throws {
        let run = try store.create(name: "r", configuration: "")
        let values = [0.1, 1e-300, 3.0, -2.5]
        try store.append(values.enumerated().reversed().map { .init(series: "loss", step: $0 + 1, epoch: Double($0), value: $1) }, to: run)
        #expect(try store.series("loss", of: run).map(\.value) == values)
        #expect(try store.series("nothing", of: run).isEmpty)
        #expect(try store.seriesNames(of: run) == ["loss"])
    }

    @Test("a point recorded again keeps the newer value; a missing one is not a number")
    func again() throws {
        let run = try store.create(name: "r", configuration: "")
        try store.append([.init(series: "loss", step: 1, epoch: 0, value: 1)], to: run)
        try store.append([.init(series: "loss", step: 1, epoch: 0, value: 2), .init(series: "loss", step: 2, epoch: 0, value: .nan)], to: run)
        let points = try store.series("loss", of: run)
        #expect(points[0].value == 2 && points[1].value.isNaN && points.count == 2)
    }

    @Test("points for a run that does not exist are refused, and none of them is kept")
    func unknownRun() throws {
        let run = try store.create(name: "r", configuration: "")
        #expect(throws: RecordsError.self) { try store.append([.init(series: "loss", step: 1, epoch: 0, value: 1)], to: run + 1) }
        try store.append([.init(series: "loss", step: 1, epoch: 0, value: 1)], to: run)
    }

    @Test("events keep their order")
    func events() throws {
        let run = try store.create(name: "r", configuration: "")
        try store.append(RunEvent(step: 3, kind: "lr", detail: "1e-4 → 5e-5"), to: run)
        try store.append(RunEvent(step: 2, kind: "saved", detail: "a.safetensors"), to: run)
        #expect(try store.events(of: run).map(\.kind) == ["lr", "saved"])
    }

    @Test("a state other than running has an end")
    func states() throws {
        let run = try store.create(name: "r", configuration: "")
        try store.mark(run, .interrupted)
        #expect(try store.record(run)?.state == .interrupted)
        #expect(try store.record(run)?.ended != nil)
        try store.mark(run, .running)
        #expect(try store.record(run)?.ended == nil)
    }

    @Test("tags select runs")
    func tags() throws {
        let run = try store.create(name: "r", configuration: "")
        _ = try store.create(name: "other", configuration: "")
        try store.tag(run, "keep")
        try store.tag(run, "best one")
        try store.tag(run, "keep")
        #expect(try store.record(run)?.tags == ["best one", "keep"])
        #expect(try store.list(tag: "keep").map(\.id) == [run])
        try store.untag(run, "keep")
        #expect(try store.list(tag: "keep").isEmpty)
    }

    @Test("deleting a run deletes all of it")
    func deleting() throws {
        let run = try store.create(name: "r", configuration: "")
        try store.append([.init(series: "loss", step: 1, epoch: 0, value: 1)], to: run)
        try store.append(RunEvent(step: 1, kind: "x", detail: ""), to: run)
        try store.tag(run, "t")
        #expect(try store.delete(run))
        #expect(try !store.delete(run))
        #expect(try store.series("loss", of: run).isEmpty && store.events(of: run).isEmpty && store.list().isEmpty)
    }
}
