import Adapters
import Checkpoints
import Datasets
import Diffusion
import Imaging
import Kernel
import Models
import Records
import Training

/// An error that says in words what is wrong, and what to do about it.
///
/// The modules below know nothing of cells; here their errors become what a cell shows.
private protocol Explained: Error, CustomStringConvertible {
    var help: String? { get }
}

extension LabError: Explained { fileprivate var help: String? { wayOut } }
extension DatasetError: Explained { fileprivate var help: String? { wayOut } }
extension LatentError: Explained { fileprivate var help: String? { wayOut } }
extension ImageError: Explained { fileprivate var help: String? { wayOut } }
extension AdapterError: Explained { fileprivate var help: String? { wayOut } }
extension CheckpointError: Explained { fileprivate var help: String? { wayOut } }
extension GenerationError: Explained { fileprivate var help: String? { wayOut } }
extension TrainingError: Explained { fileprivate var help: String? { wayOut } }
extension DiffusionError: Explained { fileprivate var help: String? { nil } }
extension ModelFileError: Explained { fileprivate var help: String? { wayOut } }
extension ConfigurationError: Explained { fileprivate var help: String? { "Give a folder that diffusers' save_pretrained wrote." } }
extension TokenizerError: Explained { fileprivate var help: String? { "Get the tokenizer's files of the same release again." } }
extension RecordsError: Explained { fileprivate var help: String? { "Check the folder's permissions and the space on the disk." } }

/// Runs `body`; what it throws leaves as the kernel's own error, named after its type, with the way out.
func explained<R>(_ body: () throws -> R) throws -> R {
    do { return try body() } catch { throw explanation(of: error) }
}

/// The kernel's own error for one of the modules below; any other as it is.
func explanation(of error: any Error) -> any Error {
    switch error {
    case TrainingError.invalidSetting(let setting, let value, let allowed, let nearest):
        return MagicError("UsageError", "\(KohyaNames.spelling(setting)) = \(value): allowed is \(allowed)", hint: "The nearest is \(nearest).")
    case let refused as RefusedSettings:
        let dropped = "Dropped\(refused.blame): \(refused.dropped.joined(separator: ", ")), which waited for this run; the next %train goes without."
        var reason = explanation(of: refused.reason) as? MagicError ?? MagicError("RefusedSettings", "\(refused.reason)")
        reason.hint = [reason.hint, dropped].compactMap(\.self).joined(separator: " ")
        return reason
    case let error as any Explained:
        return MagicError(String(describing: type(of: error)), error.description, hint: error.help.flatMap { $0.isEmpty ? nil : $0 })
    default: return error
    }
}
