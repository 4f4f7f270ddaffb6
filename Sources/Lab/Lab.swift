import Kernel

/// Where the kernel and training meet: the magics of a session.
public enum Lab {
    /// Every magic of LoRALab, all on one session.
    public static func magics(_ session: Session) -> [any Magic] {
        [
            ModelMagic(session: session), DatasetMagic(session: session), CaptionMagic(session: session), TrainMagic(session: session),
            SampleMagic(session: session), PlotMagic(board: session.board), SetMagic(session: session), SaveMagic(session: session),
            LoadMagic(session: session), StatusMagic(session: session),
        ]
    }
}
