import Adapters
import Checkpoints
import Datasets
import Diffusion
import Imaging
import Kernel

/// An error that says in words what is wrong, and what to do about it.
///
/// The modules below know nothing of cells; here their errors become what a cell shows.
private protocol Explained: Error, CustomStringConvertible {
    var help: String? { get }
}

extension LabError: Explained { fileprivate var help: String? { wayOut } }
extension DatasetError: Explained { fileprivate var help: String? { wayOut } }
extension ImageError: Explained { fileprivate var help: String? { wayOut } }

/// Runs `body`; what it throws leaves as the kernel's own error, named after its type, with the way out.
func explained<R>(_ body: () throws -> R) throws -> R {
    do {
        return try body()
    } catch let error as any Explained {
        throw MagicError(String(describing: type(of: error)), error.description, hint: error.help)
    }
}
