import Synchronization
import TensorCore

/// A second device for tests: the processor with memory of its own, at addresses that only this device can follow.
///
/// Its addresses are those of ordinary blocks moved out of the address space, so a host that follows one ends with a fault. Work is
/// translated and handed to the processor, hence its numbers are the processor's to the last bit. It counts what crosses the border
/// and fails when it is told to.
public final class MirrorDevice: Device {
    public let name = "mirror"
    public let pool: MemoryPool
    public var activationType: DType { .float32 }

    private let host = HostDevice.shared
    private let memory: MirrorMemory
    private let counts = Mutex(Counts())

    /// What has crossed the border, and launches.
    public struct Counts: Sendable {
        public var uploads = 0, downloads = 0, launches = 0
        public var uploadedBytes = 0, downloadedBytes = 0
        /// Launches that were asked for after a failure and did nothing.
        public var idleLaunches = 0
    }

    /// - Parameter bytes: room for tensors.
    public init(bytes: Int = .max) {
        memory = MirrorMemory(bytes: bytes)
        pool = MemoryPool(memory)
    }

    public var count: Counts { counts.withLock { $0 } }
    public func resetCounts() { counts.withLock { $0 = Counts() } }

    /// Fails as a driver does.
    public func fail(_ failure: DeviceFailure) { memory.fail(failure) }

    public var failure: DeviceFailure? { memory.failure }
    public func clearFailure() { memory.clearFailure() }

    public func upload(_ byteCount: Int, from host: UnsafeRawPointer, to address: UnsafeMutableRawPointer) {
        counts.withLock { ($0.uploads, $0.uploadedBytes) = ($0.uploads + 1, $0.uploadedBytes + byteCount) }
        launch { there(address).copyMemory(from: host, byteCount: byteCount) }
    }

    public func download(_ byteCount: Int, from address: UnsafeRawPointer, to host: UnsafeMutableRawPointer) {
        counts.withLock { ($0.downloads, $0.downloadedBytes) = ($0.downloads + 1, $0.downloadedBytes + byteCount) }
        if failure != nil { host.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount) }
        launch { host.copyMemory(from: there(address), byteCount: byteCount) }
    }

    public func copy(_ byteCount: Int, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer) {
        launch { there(target).copyMemory(from: there(source), byteCount: byteCount) }
    }

    public func synchronise() {}

    // MARK: Translation

    private func launch(_ work: () -> Void) {
        let isIdle = failure != nil
        counts.withLock { if isIdle { $0.idleLaunches += 1 } else { $0.launches += 1 } }
        if !isIdle { work() }
    }

    private func there(_ address: UnsafeRawPointer) -> UnsafeRawPointer {
        UnsafeRawPointer(MirrorMemory.real(UnsafeMutableRawPointer(mutating: address)))
    }
    private func there(_ address: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer { MirrorMemory.real(address) }
    private func there(_ x: Elements) -> Elements { Elements(MirrorMemory.real(x.address), x.type) }
    private func there(_ x: Elements?) -> Elements? { x.map { there($0) } }
    private func there(_ parts: [ElementRun]) -> [ElementRun] { parts.map { ElementRun($0.count, there($0.start)) } }

    // MARK: Element-wise

    public func convert(_ n: Int, _ x: Elements, _ y: Elements) { launch { host.convert(n, there(x), there(y)) } }
    public func apply(_ f: UnaryFunction, _ n: Int, _ x: Elements, _ y: Elements) { launch { host.apply(f, n, there(x), there(y)) } }
    public func applyBackward(_ f: UnaryFunction, _ n: Int, x: Elements?, y: Elements?, dy: Elements, dx: Elements) {
        launch { host.applyBackward(f, n, x: there(x), y: there(y), dy: there(dy), dx: there(dx)) }
    }
    public func clamp(_ n: Int, _ x: Elements, _ low: Float, _ high: Float, _ y: Elements) { launch { host.clamp(n, there(x), low, high, there(y)) } }
    public func clampBackward(_ n: Int, _ x: Elements, _ low: Float, _ high: Float, dy: Elements, dx: Elements) {
        launch { host.clampBackward(n, there(x), low, high, dy: there(dy), dx: there(dx)) }
    }
    public func combine(_ op: BinaryOperator, _ n: Int, _ a: Elements, _ b: Elements, _ y: Elements) {
        launch { host.combine(op, n, there(a), there(b), there(y)) }
    }
    public func combineScalar(_ op: BinaryOperator, _ n: Int, _ a: Elements, _ s: Float, _ y: Elements) {
        launch { host.combineScalar(op, n, there(a), s, there(y)) }
    }
    public func combineBroadcast(
        _ op: BinaryOperator, _ shape: [Int], _ a: Elements, _ aStrides: [Int], _ b: Elements, _ bStrides: [Int], _ y: Elements
    ) {
        launch { host.combineBroadcast(op, shape, there(a), aStrides, there(b), bStrides, there(y)) }
    }
    public func broadcast(_ shape: [Int], _ x: Elements, _ strides: [Int], _ y: Elements) {
        launch { host.broadcast(shape, there(x), strides, there(y)) }
    }
    public func axpy(_ n: Int, _ alpha: Float, _ x: Elements, _ y: Elements) { launch { host.axpy(n, alpha, there(x), there(y)) } }
    public func fill(_ n: Int, _ value: Float, _ y: Elements) { launch { host.fill(n, value, there(y)) } }
    public func geglu(_ rows: Int, _ n: Int, _ x: Elements, _ y: Elements) { launch { host.geglu(rows, n, there(x), there(y)) } }
    public func gegluBackward(_ rows: Int, _ n: Int, _ x: Elements, dy: Elements, dx: Elements) {
        launch { host.gegluBackward(rows, n, there(x), dy: there(dy), dx: there(dx)) }
    }

    // MARK: Products, convolution, attention

    public func gemm(_ p: MatrixProduct, _ a: Elements, _ b: Elements, bias: Elements?, addend: Elements?, _ c: Elements) {
        launch { host.gemm(p, there(a), there(b), bias: there(bias), addend: there(addend), there(c)) }
    }
    public func gemmBatched(
        _ count: Int, _ p: MatrixProduct, _ a: Elements, _ strideA: Int, _ b: Elements, _ strideB: Int, _ c: Elements, _ strideC: Int
    ) {
        launch { host.gemmBatched(count, p, there(a), strideA, there(b), strideB, there(c), strideC) }
    }
    public func conv2dForward(_ c: ConvolutionSizes, _ x: Elements, _ w: Elements, bias: Elements?, _ y: Elements) {
        launch { host.conv2dForward(c, there(x), there(w), bias: there(bias), there(y)) }
    }
    public func conv2dBackwardInput(_ c: ConvolutionSizes, _ w: Elements, dy: Elements, dx: Elements) {
        launch { host.conv2dBackwardInput(c, there(w), dy: there(dy), dx: there(dx)) }
    }
    public func conv2dBackwardWeight(_ c: ConvolutionSizes, _ x: Elements, dy: Elements, dw: Elements, dbias: Elements?) {
        launch { host.conv2dBackwardWeight(c, there(x), dy: there(dy), dw: there(dw), dbias: there(dbias)) }
    }
    public func depthwiseConv2d(_ c: DepthwiseSizes, _ x: Elements, taps: Elements, shift: Elements, _ y: Elements) {
        launch { host.depthwiseConv2d(c, there(x), taps: there(taps), shift: there(shift), there(y)) }
    }
    public func attentionForward(_ a: AttentionSizes, _ q: Elements, _ k: Elements, _ v: Elements, out: Elements, lse: Elements) {
        launch { host.attentionForward(a, there(q), there(k), there(v), out: there(out), lse: there(lse)) }
    }
    public func attentionBackward(
        _ a: AttentionSizes, _ q: Elements, _ k: Elements, _ v: Elements, out: Elements, lse: Elements, dout: Elements,
        dq: Elements, dk: Elements, dv: Elements
    ) {
        launch {
            host.attentionBackward(
                a, there(q), there(k), there(v), out: there(out), lse: there(lse), dout: there(dout), dq: there(dq), dk: there(dk), dv: there(dv))
        }
    }

    // MARK: Reductions

    public func sum(_ n: Int, _ x: Elements, _ y: Elements) { launch { host.sum(n, there(x), there(y)) } }
    public func dot(_ n: Int, _ a: Elements, _ b: Elements, divisor: Float, _ y: Elements) {
        launch { host.dot(n, there(a), there(b), divisor: divisor, there(y)) }
    }
    public func sumAxis(_ outer: Int, _ n: Int, _ inner: Int, _ x: Elements, _ y: Elements) {
        launch { host.sumAxis(outer, n, inner, there(x), there(y)) }
    }
    public func maxAbs(_ n: Int, _ x: Elements, _ y: Elements) { launch { host.maxAbs(n, there(x), there(y)) } }
    public func norm(_ parts: [ElementRun], _ y: Elements) { launch { host.norm(there(parts), there(y)) } }

    // MARK: Softmax and normalisation

    public func softmax(_ rows: Int, _ n: Int, _ x: Elements, _ y: Elements) { launch { host.softmax(rows, n, there(x), there(y)) } }
    public func softmaxBackward(_ rows: Int, _ n: Int, y: Elements, dy: Elements, dx: Elements) {
        launch { host.softmaxBackward(rows, n, y: there(y), dy: there(dy), dx: there(dx)) }
    }
    public func logSoftmax(_ rows: Int, _ n: Int, _ x: Elements, _ y: Elements) { launch { host.logSoftmax(rows, n, there(x), there(y)) } }
    public func logSoftmaxBackward(_ rows: Int, _ n: Int, y: Elements, dy: Elements, dx: Elements) {
        launch { host.logSoftmaxBackward(rows, n, y: there(y), dy: there(dy), dx: there(dx)) }
    }
    public func crossEntropy(_ c: CrossEntropySizes, logs: Elements, _ y: Elements) { launch { host.crossEntropy(c, logs: there(logs), there(y)) } }
    public func crossEntropyBackward(_ c: CrossEntropySizes, logs: Elements, dy: Elements, dx: Elements) {
        launch { host.crossEntropyBackward(c, logs: there(logs), dy: there(dy), dx: there(dx)) }
    }
    public func layerNorm(
        _ rows: Int, _ n: Int, _ epsilon: Float, _ x: Elements, scale: Elements, shift: Elements, _ y: Elements, mean: Elements, rstd: Elements
    ) {
        launch { host.layerNorm(rows, n, epsilon, there(x), scale: there(scale), shift: there(shift), there(y), mean: there(mean), rstd: there(rstd)) }
    }
    public func layerNormBackward(
        _ rows: Int, _ n: Int, _ x: Elements, scale: Elements, mean: Elements, rstd: Elements, dy: Elements, dx: Elements,
        dscale: Elements?, dshift: Elements?
    ) {
        launch {
            host.layerNormBackward(
                rows, n, there(x), scale: there(scale), mean: there(mean), rstd: there(rstd), dy: there(dy), dx: there(dx),
                dscale: there(dscale), dshift: there(dshift))
        }
    }
    public func groupNorm(_ g: GroupNormSizes, _ x: Elements, scale: Elements, shift: Elements, _ y: Elements, mean: Elements, rstd: Elements) {
        launch { host.groupNorm(g, there(x), scale: there(scale), shift: there(shift), there(y), mean: there(mean), rstd: there(rstd)) }
    }
    public func groupNormBackward(
        _ g: GroupNormSizes, _ x: Elements, scale: Elements, shift: Elements, mean: Elements, rstd: Elements, dy: Elements, dx: Elements,
        dscale: Elements?, dshift: Elements?
    ) {
        launch {
            host.groupNormBackward(
                g, there(x), scale: there(scale), shift: there(shift), mean: there(mean), rstd: there(rstd), dy: there(dy), dx: there(dx),
                dscale: there(dscale), dshift: there(dshift))
        }
    }

    // MARK: Moving elements

    public func copyRows(_ rows: Int, _ n: Int, _ x: Elements, _ xRow: Int, _ y: Elements, _ yRow: Int) {
        launch { host.copyRows(rows, n, there(x), xRow, there(y), yRow) }
    }
    public func addRows(_ rows: Int, _ n: Int, _ x: Elements, _ xRow: Int, _ y: Elements, _ yRow: Int) {
        launch { host.addRows(rows, n, there(x), xRow, there(y), yRow) }
    }
    public func transpose(_ shape: [Int], _ axes: [Int], _ x: Elements, _ y: Elements) { launch { host.transpose(shape, axes, there(x), there(y)) } }
    public func gatherRows(_ n: Int, _ table: Elements, _ indices: [Int], _ y: Elements) {
        launch { host.gatherRows(n, there(table), indices, there(y)) }
    }
    public func scatterAddRows(_ n: Int, _ x: Elements, _ indices: [Int], _ table: Elements) {
        launch { host.scatterAddRows(n, there(x), indices, there(table)) }
    }
    public func upsample2(_ batch: Int, _ height: Int, _ width: Int, _ channels: Int, _ x: Elements, _ y: Elements) {
        launch { host.upsample2(batch, height, width, channels, there(x), there(y)) }
    }
    public func upsample2Backward(_ batch: Int, _ height: Int, _ width: Int, _ channels: Int, dy: Elements, dx: Elements) {
        launch { host.upsample2Backward(batch, height, width, channels, dy: there(dy), dx: there(dx)) }
    }

    // MARK: Training

    public func clip(_ parts: [ElementRun], norm: Elements, limit: Float) { launch { host.clip(there(parts), norm: there(norm), limit: limit) } }
    public func adamW(_ n: Int, _ step: AdamWStep, gradient: Elements, weight: Elements, mean: Elements, square: Elements) {
        launch { host.adamW(n, step, gradient: there(gradient), weight: there(weight), mean: there(mean), square: there(square)) }
    }
}

/// Blocks whose addresses lie outside every process's address space, as many as there is room for; and the device's failure, which running
/// out of room is.
private final class MirrorMemory: MemorySource {
    private struct State {
        var left: Int
        var failure: DeviceFailure?
    }
    private let state: Mutex<State>

    init(bytes: Int) { state = Mutex(State(left: bytes)) }

    /// Bit 62 makes an address one that no processor of today follows.
    private static let offset = 1 << 62

    static func real(_ address: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer { address - offset }

    func obtain(_ byteCount: Int) -> UnsafeMutableRawPointer? {
        let fits = state.withLock { s in
            guard s.left >= byteCount else { return false }
            s.left -= byteCount
            return true
        }
        return fits ? UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64) + Self.offset : nil
    }

    func giveBack(_ block: UnsafeMutableRawPointer, _ byteCount: Int) {
        state.withLock { $0.left += byteCount }
        Self.real(block).deallocate()
    }

    func isExhausted(by byteCount: Int, inUse: Int) { fail(.outOfMemory(device: "mirror", bytes: byteCount, inUse: inUse)) }

    func fail(_ failure: DeviceFailure) { state.withLock { $0.failure = $0.failure ?? failure } }

    var failure: DeviceFailure? { state.withLock { $0.failure } }

    func clearFailure() {
        state.withLock { s in
            if case .lost = s.failure { return }
            s.failure = nil
        }
    }
}
