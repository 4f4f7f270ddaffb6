import ArgumentParser
import Foundation
import Models

/// `loralab fetch-vocabulary`: CLIP's vocabulary for models that come as a single file.
///
/// The published list of merges ships with the Python package open_clip_torch (MIT), which pip gets from wherever it is set up to
/// get packages; nothing of the package is run.
struct FetchVocabularyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fetch-vocabulary",
        abstract: "Get CLIP's vocabulary, which single-file models need, once (1.5 MB through pip).")

    @Option(help: "The Python that has pip.") var python = "python3"
    @Option(help: "Use this bpe_simple_vocab_16e6.txt (or .gz) instead of fetching one.") var from: String?
    @Flag(help: "Fetch it even if it is there.") var force = false

    private static let package = "open_clip_torch"
    private static let listName = "bpe_simple_vocab_16e6.txt.gz"

    func run() throws {
        let folder = CLIPVocabulary.folder
        if !force, (try? CLIPTokenizer(folder: folder)) != nil {
            print("The vocabulary is in \(folder) already.")
            return
        }
        let scratch = NSTemporaryDirectory() + "loralab-vocabulary-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: scratch) }
        let list = try unpacked(try from ?? fetched(into: scratch), in: scratch)
        guard let text = try? String(contentsOfFile: list, encoding: .utf8) else { throw CommandError("\(from ?? list) is not a text.") }
        try CLIPVocabulary(published: text, path: from ?? list).write(folder: folder)
        print("CLIP's vocabulary is in \(folder).")
    }

    /// The list of merges out of the package.
    private func fetched(into scratch: String) throws -> String {
        try run(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--dest", scratch, Self.package],
            wrong: "pip could not get the package \(Self.package): is there a network, and has \(python) pip?")
        guard let wheel = try FileManager.default.contentsOfDirectory(atPath: scratch).first(where: { $0.hasSuffix(".whl") }) else {
            throw CommandError("pip gave no package.")
        }
        let list = "\(scratch)/\(Self.listName)"
        let extraction = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); n = [n for n in z.namelist() if n.endswith(sys.argv[2])][0]; open(sys.argv[3], 'wb').write(z.read(n))"
        try run(["-c", extraction, "\(scratch)/\(wheel)", Self.listName, list], wrong: "\(wheel) holds no \(Self.listName).")
        return list
    }

    private func unpacked(_ path: String, in scratch: String) throws -> String {
        guard path.hasSuffix(".gz") else { return path }
        let target = scratch + "/merges-list.txt"
        try run(["-c", "import sys, gzip; open(sys.argv[2], 'wb').write(gzip.open(sys.argv[1]).read())", path, target], wrong: "\(path) cannot be unpacked.")
        return target
    }

    private func run(_ arguments: [String], wrong: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [python] + arguments
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw CommandError(wrong) }
    }
}
