import Diffusion
import Imaging
import Kernel
import Plotting

/// The pictures of a plan, laid out so that what changes stands side by side.
struct SampleGrid {
    let plan: SamplePlan
    let pictures: [SamplePlan.Cell: Pixels]
    var title = ""

    func display() throws -> DisplayData {
        try DisplayData(card: card(), plain: plain)
    }

    private func card() -> Pixels {
        if plan.stages.count == 1, plan.strengths.count == 1 { return sheet.draw() }
        return grid.draw()
    }

    /// Prompts only: pictures with the prompt below each.
    private var sheet: ContactSheet {
        let items = plan.prompts.indices.map { prompt in
            ContactSheet.Item(picture(prompt, 0, 0) ?? Pixels(width: 1, height: 1), name: "seed \(plan.prompts[prompt].seed.map(String.init) ?? "random")", caption: plan.prompts[prompt].text)
        }
        return ContactSheet(items, title: title, subtitle: settings, pictureSize: 192, captionLines: 4, maximumItems: SamplePlan.pictureLimit)
    }

    /// A row for each prompt, a column for each stage or strength; with both, a section for each prompt.
    private var grid: LabelledGrid {
        let stages = plan.stages.map(\.label), strengths = plan.strengths.map(\.label)
        if stages.count > 1, strengths.count > 1 {
            let sections = plan.prompts.indices.map { prompt in
                LabelledGrid.Section(plan.prompts[prompt].text, rows: plan.stages.indices.map { stage in
                    LabelledGrid.Row(stages[stage], plan.strengths.indices.map { picture(prompt, stage, $0) })
                })
            }
            return LabelledGrid(columns: strengths, sections: sections, title: title, subtitle: settings)
        }
        let acrossStages = stages.count > 1
        let rows = plan.prompts.indices.map { prompt in
            LabelledGrid.Row(plan.prompts[prompt].text, acrossStages
                ? plan.stages.indices.map { picture(prompt, $0, 0) } : plan.strengths.indices.map { picture(prompt, 0, $0) })
        }
        return LabelledGrid(columns: acrossStages ? stages : strengths, rows: rows, title: title, subtitle: settings)
    }

    private func picture(_ prompt: Int, _ stage: Int, _ strength: Int) -> Pixels? {
        pictures[SamplePlan.Cell(prompt: prompt, stage: stage, strength: strength)]
    }

    /// What all pictures share.
    private var settings: String {
        guard let first = plan.prompts.first else { return "" }
        func shared<V: Equatable>(_ path: KeyPath<SamplePrompt, V>, _ word: (V) -> String) -> String? {
            plan.prompts.allSatisfy { $0[keyPath: path] == first[keyPath: path] } ? word(first[keyPath: path]) : nil
        }
        return [
            shared(\.sampler) { $0?.title ?? "" }, shared(\.steps) { Words.count($0, "step") }, shared(\.guidanceScale) { "guidance \(Words.fixed(Double($0), 1))" },
            shared(\.seed) { $0.map { "seed \($0)" } ?? "" },
        ].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: " · ")
    }

    /// The same in words: what stands in which row and column.
    private var plain: String {
        let columns = plan.stages.flatMap { stage in
            plan.strengths.map { strength in
                [plan.stages == [.current] && plan.strengths.count > 1 ? nil : stage.label, plan.strengths.count > 1 ? strength.label : nil]
                    .compactMap { $0 }.joined(separator: ", ")
            }
        }
        let head = [title, Words.count(pictures.count, "picture"), settings].filter { !$0.isEmpty }.joined(separator: " · ")
        let rows = plan.prompts.map { "  \($0.text)" + ($0.negative.isEmpty ? "" : " (without: \($0.negative))") + ($0.seed.map { ", seed \($0)" } ?? "") }
        return ([head, "columns: \(columns.joined(separator: " | "))", "rows:"] + rows).joined(separator: "\n")
    }
}
