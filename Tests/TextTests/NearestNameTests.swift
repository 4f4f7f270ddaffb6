import Testing
import Text

@Suite struct NearestNameTests {
    @Test("near names are found, far ones are not", arguments: [
        ("lrr", "lr"), ("trian", "train"), ("eco", "echo"), ("ecoh", "echo"), ("max_train_epoch", "max_train_epochs"), ("TRAIN", "train"), ("tra", "train"), ("zzz", nil), ("", nil), ("x", nil),
    ] as [(String, String?)])
    func nearest(given: String, found: String?) {
        #expect(nearestName(to: given, among: ["train", "lr", "echo", "max_train_epochs", "n"]) == found)
    }

    @Test("of equally near ones the first counts; among none there is none")
    func ties() {
        #expect(nearestName(to: "abx", among: ["aby", "abz"]) == "aby")
        #expect(nearestName(to: "a", among: []) == nil)
    }
}
