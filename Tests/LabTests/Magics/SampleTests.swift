import Foundation
import Imaging
import Kernel
import Lab
import Testing

@Suite("%sample, %save, %load", .serialized)
struct SampleTests {
    /// A session that has trained two epochs at a rate that shows.
    private func trained() throws -> Cells {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        try cells.run("train --epochs 2 --batch 2 --rank 2 --lr 0.05 --seed 5")
        return cells
    }

    @Test("one prompt is one picture, with its settings in the PNG")
    func one() throws {
        let cells = try Cells()
        let shown = try cells.run("sample a red cube --d 7 --s 2 --n blue --l 3")
        guard case .display(let data, _)? = shown.last, let png = data.png else { Issue.record("no picture"); return }
        let file = try PNG.read(png)
        #expect((file.pixels.width, file.pixels.height) == (TinyModelFolder.side, TinyModelFolder.side))
        let parameters = try #require(file.text.first { $0.key == "parameters" }?.value)
        #expect(parameters.hasPrefix("a red cube\nNegative prompt: blue\nSteps: 2, Sampler: "))
        #expect(parameters.contains("CFG scale: 3.0, Seed: 7, Size: 32x32"))
        #expect(data.plain == parameters)
        #expect(file.text.contains { $0.key == "Adapter" && $0.value == "none" })
    }

    @Test("a model whose file has changed is not used: the file is named, with the way out, and nothing else changes")
    func changedModel() throws {
        let cells = try Cells(loadingModel: false), model = cells.folder + "/my model", file = model + "/unet/diffusion_pytorch_model.safetensors"
        try FileManager.default.copyItem(atPath: TinyModelFolder.path, toPath: model)
        try cells.run("model '\(model)'")
        let first = try #require(try cells.run("sample a red cube --d 7 --s 2").pictures.last)
        let whole = try Data(contentsOf: URL(fileURLWithPath: file)), handle = FileHandle(forUpdatingAtPath: file)!
        try handle.write(contentsOf: whole)                 // the same bytes once more: a download into the same name begins so
        try cells.run("dataset \(try cells.makeDataset())")
        for line in ["sample a red cube --d 7 --s 2", "train --steps 1", "caption --overwrite"] {
            let error = try #require(cells.failure(line), "\(line)")
            #expect(error.message.contains(file) && error.hint?.contains("%model \"\(model)\"") == true, "\(line): \(error)")
        }
        #expect(cells.session.model?.location == model && cells.session.trainer == nil)
        try cells.run("model '\(model)'")
        #expect(try cells.run("sample a red cube --d 7 --s 2").pictures.last == first)
    }

    @Test("same seed, same picture; another seed, another")
    func seeds() throws {
        let cells = try Cells()
        func picture(_ line: String) throws -> Pixels { try #require(try cells.run(line).pictures.last) }
        let first = try picture("sample a red cube --d 7 --s 2")
        #expect(try picture("sample a red cube --d 7 --s 2") == first)
        #expect(try picture("sample a red cube --d 8 --s 2") != first)
    }

    @Test("epochs, strengths and prompts make a grid; strength 0 is the base model, and the adapter is afterwards as it was")
    func grid() throws {
        let cells = try trained()
        let folder = cells.folder + "/out"
        let before = try #require(cells.session.network?.snapshot())
        let shown = try cells.run("sample --epochs base,1,last --strength 0,1 --d 3 --s 2 --save \(folder)", body: "a red cube\n# a comment\na blue torus --d 4")
        #expect(shown.text.contains("12 pictures") && shown.text.contains("base, strength 0 | base, strength 1 | epoch 1, strength 0"))
        let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        #expect(files.count == 12 && files.contains("01_epoch-1_strength-1_seed-3.png") && files.contains("02_now_strength-0_seed-4.png"))
        func picture(_ name: String) throws -> Pixels { try Picture.load(path: "\(folder)/\(name)") }
        #expect(try picture("01_base_strength-0_seed-3.png") == picture("01_now_strength-0_seed-3.png"))
        #expect(try picture("01_base_strength-1_seed-3.png") == picture("01_base_strength-0_seed-3.png"))
        #expect(try picture("01_now_strength-1_seed-3.png") != picture("01_base_strength-1_seed-3.png"))
        #expect(try picture("01_epoch-1_strength-1_seed-3.png") != picture("01_now_strength-1_seed-3.png"))
        let after = try #require(cells.session.network?.snapshot())
        #expect(after == before)
    }

    @Test("an epoch of another rank can still be drawn")
    func resizedEpochs() throws {
        let cells = try trained()
        try cells.run("train --epochs 1 --rank 4 --te_lr 1e-3")
        #expect(try cells.run("sample a red cube --epochs 1,3 --d 1 --s 1").pictures.count >= 1)
        #expect(cells.session.network?.size?.rank == 4)
    }

    @Test("what cannot be drawn is told", arguments: [
        ("sample", "no prompt"), ("sample a red cube --epochs 1", "no adapter"), ("sample a red cube --strength 0.5", "no adapter"),
        ("sample a red cube --epochs x", "whole numbers"), ("sample a --s 0", "1 to 1000"), ("sample a --ss ddimm", "ddim"), ("sample a --w 10", "64 to 2048"),
        ("sample a --prompts missing.txt", "missing.txt"),
    ])
    func mistakes(line: String, expected: String) throws {
        let error = try Cells().failure(line)
        #expect((error.map { $0.message + ($0.hint ?? "") } ?? "").contains(expected))
    }

    @Test("a prompt of 5,000 characters is refused with its length, an epoch that was not kept with those that were")
    func limits() throws {
        let cells = try trained()
        let long = cells.failure("sample \(String(repeating: "a ", count: 2500))")
        #expect(long?.message.contains("4999 characters") == true)
        let epoch = cells.failure("sample a red cube --epochs 7")
        #expect(epoch?.message.contains("kept: 1, 2") == true)
        let many = cells.failure("sample a --strength \(Array(repeating: "1", count: 600).joined(separator: ","))")
        #expect(many?.message.contains("600 pictures") == true)
    }

    @Test("what is saved is loaded, draws the same and can be trained on")
    func saveAndLoad() throws {
        let cells = try trained()
        let line = "sample a red cube --d 7 --s 2"
        let expected = try #require(try cells.run(line).pictures.last)
        let file = cells.folder + "/deep/er/mine"
        let shown = try cells.run("save \(file) --save_precision float")
        #expect(shown.text.contains("mine.safetensors") && shown.text.contains("6 steps, epoch 2"))
        let early = try cells.run("save \(cells.folder)/early.safetensors --epoch 1")
        #expect(early.text.contains("epoch 1"))

        let other = try Cells()
        #expect(try other.run("load \(file).safetensors").text.contains("name"))
        #expect(try #require(try other.run(line).pictures.last) == expected)
        try other.run("dataset \(try other.makeDataset())")
        #expect(try other.run("train --steps 1").text.contains("Going on with the LoRA of rank 2"))
    }

    @Test("adapter files draw beside the present adapter, add up, and leave the model as it was")
    func adapterFiles() throws {
        let cells = try trained()
        let file = "\(cells.folder)/a.safetensors", line = "sample popsicle --d 3 --s 2 --ss euler"
        let adapted = try #require(try cells.run(line).pictures.last), base = try #require(try cells.run(line + " --epochs base").pictures.last)
        try cells.run("save \(file) --save_precision float")
        let other = try Cells()
        func drawn(_ rest: String) throws -> Pixels { try #require(try other.run(line + rest).pictures.last) }
        #expect(try drawn("") == base)
        #expect(try drawn(" --lora \(file)") == adapted)
        #expect(try drawn(" --lora \(file):0") == base)
        let halves = try drawn(" --lora \(file):0.5 --lora \(file):0.5")
        #expect(zip(halves.rgb, adapted.rgb).allSatisfy { abs(Int($0) - Int($1)) <= 1 })    // sums of halves round otherwise
        #expect(try drawn("") == base && drawn(" --lora \(file) --epochs base") == base)
        #expect(other.failure(line + " --lora \(cells.folder)/none.safetensors")?.message.contains("none.safetensors") == true)
        #expect(other.failure(line + " --lora :0.5")?.message.contains("names no adapter file") == true)
    }

    @Test("nothing to save, places that cannot be written, files that are no adapters", arguments: [
        ("save x.safetensors", "no adapter"), ("load missing.safetensors", "missing.safetensors"), ("save", "needs PATH"),
    ])
    func fileMistakes(line: String, expected: String) throws {
        let cells = try Cells()
        let error = cells.failure(line)
        #expect((error.map { $0.message + ($0.hint ?? "") } ?? "").contains(expected))
    }

    @Test("a read-only folder is refused, also for an administrator, and holds nothing afterwards")
    func readOnly() throws {
        let cells = try trained()
        let folder = cells.folder + "/locked"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o555])
        #expect(cells.failure("save \(folder)/x.safetensors")?.message.contains("read-only") == true)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        #expect(cells.session.savedTo == nil)
    }

    @Test("a corrupted file leaves the adapter in place")
    func corrupted() throws {
        let cells = try trained()
        let file = cells.folder + "/broken.safetensors"
        try Data([255, 255, 255, 255, 255, 255, 255, 127, 123]).write(to: URL(fileURLWithPath: file))
        let error = cells.failure("load \(file)")
        #expect(error?.message.contains("broken.safetensors") == true)
        #expect(cells.session.trainer?.position.step == 6)
    }
}
