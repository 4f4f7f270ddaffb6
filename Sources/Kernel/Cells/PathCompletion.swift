import Glibc

/// Completes a path that is being typed: `data/pict` to `data/pictures/`. Hidden files are offered after a typed dot; blanks are escaped.
enum PathCompletion {
    /// Entries offered at most: a folder of a million pictures must not fill the menu.
    private static let limit = 200

    static func matches(_ typed: String, _ kind: PathKind) -> [String] {
        let raw = unescaped(typed)
        let slash = raw.lastIndex(of: "/")
        let folder = slash.map { String(raw[...$0]) } ?? ""
        let prefix = slash.map { String(raw[raw.index(after: $0)...]) } ?? raw
        let opened = expandingHome(folder.isEmpty ? "." : folder)
        return entries(of: opened).filter { $0.name.hasPrefix(prefix) && (prefix.hasPrefix(".") || !$0.name.hasPrefix(".")) && fits($0, kind) }
            .sorted { $0.name < $1.name }.prefix(limit).map { escaped(folder + $0.name + ($0.isFolder ? "/" : "")) }
    }

    private struct Entry {
        var name: String
        var isFolder: Bool
    }

    private static func fits(_ entry: Entry, _ kind: PathKind) -> Bool {
        switch kind {
        case .any: true
        case .folder: entry.isFolder
        case .file(let extensions):
            entry.isFolder || extensions.isEmpty || extensions.contains { entry.name.lowercased().hasSuffix("." + $0.lowercased()) }
        }
    }

    private static func entries(of folder: String) -> [Entry] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var found: [Entry] = []
        while let pointer = readdir(directory) {
            let name = withUnsafePointer(to: &pointer.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name == "." || name == ".." { continue }
            var isFolder = pointer.pointee.d_type == UInt8(DT_DIR)
            if pointer.pointee.d_type == UInt8(DT_LNK) || pointer.pointee.d_type == UInt8(DT_UNKNOWN) {
                var information = stat()
                isFolder = stat(folder + "/" + name, &information) == 0 && information.st_mode & S_IFMT == S_IFDIR
            }
            found.append(Entry(name: name, isFolder: isFolder))
        }
        return found
    }

    private static func escaped(_ path: String) -> String {
        path.map { " \\'\"".contains($0) ? "\\\($0)" : String($0) }.joined()
    }

    private static func unescaped(_ typed: String) -> String {
        var text = ""
        var isEscaped = false
        for character in typed {
            if !isEscaped, character == "\\" {
                isEscaped = true
            } else if isEscaped || (character != "\"" && character != "'") {
                text.append(character)
                isEscaped = false
            }
        }
        return text
    }
}

/// The path with a leading `~` put out as the home folder, as shells do.
func expandingHome(_ path: String) -> String {
    guard path == "~" || path.hasPrefix("~/"), let home = getenv("HOME") else { return path }
    return String(cString: home) + path.dropFirst()
}
