import Synchronization
import TensorCore

/// Weights as kernels want them, beside the weights as they are: in the type of activations, kernels of convolutions with their channels last.
/// Made once; a copy goes when its original is freed or written.
final class CopiesOfWeights: Sendable {
    struct Copy: @unchecked Sendable {
        let type: DType
        let hasChannelsLast: Bool
        let address: UnsafeMutableRawPointer
        let capacity: Int
    }
    /// By the original's address.
    private let table = Mutex<[UInt: [Copy]]>([:])
    /// Where the copies lie. Set once, before there are any.
    private let home = Mutex<MemoryPool?>(nil)

    func live(in pool: MemoryPool) { home.withLock { $0 = pool } }

    func find(_ original: UnsafeMutableRawPointer, _ type: DType, channelsLast: Bool) -> UnsafeMutableRawPointer? {
        table.withLock { $0[UInt(bitPattern: original)]?.first { $0.type == type && $0.hasChannelsLast == channelsLast }?.address }
    }

    func insert(_ copy: Copy, of original: UnsafeMutableRawPointer) { table.withLock { $0[UInt(bitPattern: original), default: []].append(copy) } }

    /// Drops the copies of a block.
    ///
    /// - Parameter kept: the address of one that has been brought up to date.
    func forget(_ original: UnsafeMutableRawPointer, but kept: UnsafeMutableRawPointer? = nil) {
        let gone = table.withLock { table -> [Copy] in
            guard let all = table.removeValue(forKey: UInt(bitPattern: original)) else { return [] }
            let staying = all.filter { $0.address == kept }
            if !staying.isEmpty { table[UInt(bitPattern: original)] = staying }
            return all.filter { $0.address != kept }
        }
        guard !gone.isEmpty, let pool = home.withLock({ $0 }) else { return }
        for copy in gone { pool.release(copy.address, copy.capacity) }
    }
}
