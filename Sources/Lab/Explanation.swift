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
    do {
        return try body()
    } catch TrainingError.invalidSetting(let setting, let value, let allowed, let nearest) {
        throw MagicError("UsageError", "\(KohyaNames.spelling(setting)) = \(value): allowed is \(allowed)", hint: "The nearest is \(nearest).")
    } catch let error as any Explained {
        throw MagicError(String(describing: type(of: error)), error.description, hint: error.help.flatMap { $0.isEmpty ? nil : $0 })
    }
}
