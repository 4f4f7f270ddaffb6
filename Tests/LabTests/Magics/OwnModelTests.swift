import Checkpoints
import Foundation
import Kernel
import Lab
import Models
import TestSupport
import Testing
import Training

/// What a user does with files of their own: base models in one file, adapters of every kind, captioners.
@Suite("own models, adapters and captioners", .serialized)
struct OwnModelTests {
    @Test("a single file of each family is told, drawn with, trained on, saved and loaded again", arguments: [
        ("original_sd1", "Stable Diffusion 1.x", "sd_v1"), ("original_sd2", "Stable Diffusion 2.x", "sd_v2"), ("original_sdxl", "Stable Diffusion XL", "sdxl_base_v1-0"),
    ])
    func singleFile(name: String, family: String, version: String) throws {
        try OriginalModel.withFile(name, dtype: .float16) { path in
            let cells = try Cells(loadingModel: false)
            let shown = try cells.run("model \(path) --tokenizer \(OriginalModel.vocabulary) --no-v_prediction")
            #expect(shown.text.contains(family))
            try cells.run("dataset \(try cells.makeDataset()) --resolution 32")
            try cells.run("train --steps 2 --rank 2 --lr 0.01 --te_lr 0.01 --seed 3")
            let saved = cells.folder + "/adapter.safetensors"
            try cells.run("save \(saved)")
            let file = try SafetensorsFile(path: saved)
            #expect(file.metadata["ss_base_model_version"] == version)
            let prompt = "sample a (red:1.3) cube --w 72 --h 64 --d 1 --s 2 --ss euler"
            let trained = try #require(try cells.run(prompt).pictures.last)
            #expect((trained.width, trained.height) == (72, 64))
            try cells.run("load \(saved)")
            #expect(try cells.run(prompt).pictures.last != nil && cells.session.network?.adapters.count ?? 0 > 10)
            #expect(try cells.run(prompt + " --epochs base").pictures.last != trained)
        }
    }

    @Test("every kind of adapter trains, is saved under its own names, and draws the same when it is loaded again", arguments: [
        ("lora", "lora_down", "networks.lora"), ("locon", "lora_down", "networks.lora"), ("loha", "hada_w1_a", "lycoris.kohya"),
        ("lokr --network_args factor=2", "lokr_w1", "lycoris.kohya"), ("lokr --conv_dim 64", "lokr_w1", "lycoris.kohya"), ("dylora --network_args unit=2", "lora_down", "networks.dylora"),
    ])
    func kinds(kind: String, key: String, module: String) throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        let shown = try cells.run("train --epochs 1 --batch 2 --rank 4 --alpha 2 --lr 0.05 --seed 5 --save_precision float --network \(kind)")
        #expect(shown.text.contains("A new Lo") || shown.text.contains("A new DyLoRA"))
        let path = cells.folder + "/kind.safetensors", prompt = "sample a red cube --d 7 --s 2"
        try cells.run("save \(path)")
        let file = try SafetensorsFile(path: path)
        #expect(file.keys.contains { $0.contains(key) } && file.metadata["ss_network_module"] == module)
        let drawn = try #require(try cells.run(prompt).pictures.last)
        #expect(try cells.run(prompt + " --epochs base").pictures.last != drawn)
        try cells.run("load \(path)")
        #expect(try cells.run(prompt).pictures.last == drawn)
        #expect(try cells.run("train --epochs 1").text.contains("Going on"))
    }

    @Test("a run of another kind goes on from its state with the same numbers") func resumed() throws {
        let line = "train --epochs 2 --batch 2 --rank 4 --lr 0.02 --seed 5 --network dylora --network_args unit=2 --te_lr 0.01"
        let whole = try Cells(), first = try Cells()
        let pictures = try first.makeDataset()
        for cells in [whole, first] { try cells.run("dataset \(pictures)") }
        try whole.run(line)
        #expect(throws: KeyboardInterrupt.self) { try first.run(line) { event in if case .display(let data, _) = event { data.png != nil } else { false } } }
        let later = try Cells(folder: first.folder)
        try later.run("dataset \(pictures)")
        try later.run("train --resume")
        #expect(later.session.network?.snapshot() == whole.session.network?.snapshot())
    }

    @Test("a kind that is no kind, one that cannot change, and a rank that cannot are told") func mistakes() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        #expect(cells.failure("train --network ia3")?.message.contains("lora, locon") == true)
        #expect(cells.failure("train --network_args algo=glora")?.message.contains("glora") == true)
        #expect(cells.failure("train --network dylora --rank 6 --network_args unit=4")?.message.contains("does not divide") == true)
        try cells.run("train --steps 1 --rank 2 --network loha")
        #expect(cells.failure("train --network lokr")?.message.contains("is a LoHa") == true)
        #expect(cells.failure("train --rank 8")?.message.contains("cannot be changed") == true)
    }

    @Test("a captioner of one's own writes captions, the same folder named twice is loaded once") func captioner() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        let shown = try cells.run("caption --captioner \(TinyModelFolder.path)/captioner --overwrite --num_beams 2 --max_length 8 --prefix style,")
        #expect(shown.text.contains("captions"))
        #expect(cells.session.dataset?.pictures.allSatisfy { $0.caption.hasPrefix("style,") } == true)
        #expect(cells.failure("caption --captioner \(TinyModelFolder.path) --overwrite") != nil)
        #expect(cells.failure("caption --captioner \(cells.folder)/nowhere --overwrite")?.message.contains("nowhere") == true)
    }

    @Test("captions beyond 75 tokens count with max_token_length") func longCaptions() throws {
        let cells = try Cells()
        let folder = try cells.makeDataset()
        try cells.run("dataset \(folder)")
        try cells.run("train --epochs 1 --rank 2 --lr 0.01 --seed 5 --max_token_length 225")
        #expect(cells.session.trainer?.configuration.tokenRows == 3)
        #expect(cells.failure("train --max_token_length 80")?.message.contains("75") == true)
    }
}
