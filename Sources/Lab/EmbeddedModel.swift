import FoundationEssentials

/// The base model that ships with LoRALab, in diffusers' folder layout with a `captioner/` beside the parts.
public enum EmbeddedModel {
    /// What `%model` calls it.
    public static let name = "builtin"
    /// Names another folder to use instead.
    public static let variable = "LORALAB_EMBEDDED"

    /// The folder: `$LORALAB_EMBEDDED`, else the one that the build copies beside the program.
    ///
    /// - Throws: `LabError.embeddedModelMissing` with the places looked at.
    public static func folder() throws(LabError) -> String {
        var places: [String] = []
        if let chosen = ProcessInfo.processInfo.environment[variable] { places.append(chosen) }
        if let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
            let beside = program.split(separator: "/").dropLast().joined(separator: "/")
            places.append("/\(beside)/LoRALab_Lab.resources/embedded")
        }
        guard let found = places.first(where: { FileManager.default.fileExists(atPath: $0 + "/model_index.json") }) else {
            throw .embeddedModelMissing(places: places)
        }
        return found
    }
}
