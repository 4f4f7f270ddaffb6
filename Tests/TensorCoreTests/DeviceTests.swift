import TensorCore
import TestSupport
import Testing

/// What holds of tensors on any device. That every op computes on a second one as on the processor is part of each op's own test
/// (`expectGradient`, `expectSameOnMirror`).
@Suite struct DeviceTests {
    @Test("a tensor of any type moves there and back", arguments: [DType.float32, .float16, .bfloat16])
    func moving(_ type: DType) {
        let mirror = MirrorDevice(), x = Tensor.testNormal([3, 5], seed: 1).converted(to: type), there = x.moved(to: mirror)
        #expect(there.device === mirror && there.dtype == type && x.device === HostDevice.shared && there.moved(to: mirror).device === mirror)
        #expect(there.moved(to: HostDevice.shared).bits == x.bits && there.bits == x.bits)
        #expect(there.withUnsafeBytes(Array.init) == x.withUnsafeBytes(Array.init))
        #expect(there.moved(to: MirrorDevice()).bits == x.bits)
    }

    @Test("a gradient follows a value that was moved, and one that changed its type")
    func gradientsFollow() {
        let mirror = MirrorDevice(), x = Tensor([1, 2, 3], shape: [3]).trackingGradient()
        let loss = x.moved(to: mirror).converted(to: .bfloat16).converted(to: .float32).square().sum()
        let gradient = gradients(of: loss, for: [x])[0]
        #expect(loss.device === mirror && gradient.device === HostDevice.shared && gradient.array == [2, 4, 6])
    }

    @Test("a small operand in the host's memory follows the others", arguments: [0, 1])
    func smallOperand(place: Int) {
        let mirror = MirrorDevice(), x = Tensor.testNormal([2, 3, 4], seed: 1), y = Tensor.testNormal([4], seed: 2)
        let there = x.moved(to: mirror), small = y.trackingGradient()
        let product = place == 0 ? there * small : small * there, expected = place == 0 ? x * y : y * x
        #expect(product.device === mirror && product.bits == expected.bits)
        #expect(gradients(of: product.sum(), for: [small])[0].bits == gradients(of: (x * small).sum(), for: [small])[0].bits)
        #expect(Tensor.concatenated([there, .zeros([2, 3, 4])], axis: 0).device === mirror)
        let weight = Tensor.testNormal([5, 4], seed: 3), bias = Tensor.testNormal([5], seed: 4)
        #expect(there.linear(weight, bias: bias).bits == x.linear(weight, bias: bias).bits)
        #expect(there.layerNorm(scale: y, shift: y, epsilon: 1e-5).bits == x.layerNorm(scale: y, shift: y, epsilon: 1e-5).bits)
        #expect(Tensor.attention(there, x, x, heads: 2).bits == Tensor.attention(x, x, x, heads: 2).bits)
    }

    @Test("a large operand elsewhere, or one of a second device, is a programming error")
    func strangers() async {
        await #expect(processExitsWith: .failure) { _ = Tensor.ones([4097]).moved(to: MirrorDevice()) + Tensor.ones([4097]) }
        await #expect(processExitsWith: .failure) { _ = Tensor.ones([2]).moved(to: MirrorDevice()) + Tensor.ones([2]).moved(to: MirrorDevice()) }
    }

    @Test("the processor ends the process at activations of 16 bits")
    func narrowActivations() async {
        await #expect(processExitsWith: .failure) { _ = Tensor.ones([2]).converted(to: .bfloat16) + 1 }
        await #expect(processExitsWith: .failure) { _ = Tensor.ones([2, 2]).converted(to: .float16).linear(.ones([2, 2])) }
    }

    @Test("biases, scales and shifts of 16 bits count as the numbers they are")
    func narrowVectors() {
        let x = Tensor.testNormal([2, 3, 3, 8], seed: 1), kernel = Tensor.testNormal([8, 8, 1, 1], seed: 3)
        let narrow = Tensor.testNormal([8], seed: 2).converted(to: .bfloat16)
        let ops: [(Tensor) -> Tensor] = [
            { x.linear(kernel.reshaped([8, 8]), bias: $0) }, { x.conv2d(kernel, bias: $0) },
            { x.layerNorm(scale: $0, shift: $0, epsilon: 1e-5) }, { x.groupNorm(groups: 2, scale: $0, shift: $0, epsilon: 1e-5) },
        ]
        for op in ops { #expect(op(narrow).bits == op(narrow.converted(to: .float32)).bits) }
    }

    @Test("several numbers are read at once")
    func items() {
        let mirror = MirrorDevice(), numbers = (0..<5).map { Tensor.scalar(Float($0)).moved(to: mirror) }
        #expect(Tensor.items(of: numbers) == [0, 1, 2, 3, 4] && mirror.count.downloads == 1)
        #expect(Tensor.areFinite(numbers) && mirror.count.downloads == 2)
        for number in [Float.nan, .infinity, -.infinity] { #expect(!Tensor.areFinite(numbers + [Tensor.scalar(number).moved(to: mirror)])) }
        #expect(Tensor.items(of: []) == [] && Tensor.areFinite([]) && Tensor.zeros([0]).isFinite)
    }

    // MARK: In place

    @Test("a part of a picture is added at its place, and copies elsewhere stay", arguments: [false, true])
    func adding(isMirrored: Bool) {
        let device: any Device = isMirrored ? MirrorDevice() : HostDevice.shared
        var picture = Tensor.zeros([2, 3, 4, 1], on: device)
        let before = picture
        picture.add(Tensor((1...8).map(Float.init), shape: [2, 2, 2, 1]), atRow: 1, column: 2)
        picture.add(.ones([2, 1, 1, 1]), atRow: 1, column: 2)
        #expect(picture.array == [0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 3, 4] + [0, 0, 0, 0, 0, 0, 6, 6, 0, 0, 7, 8])
        #expect(before.array == [Float](repeating: 0, count: 24))
    }

    @Test("clipping scales by the limit over the norm and leaves what is shorter alone; shared gradients are copied", arguments: [false, true])
    func clipping(isMirrored: Bool) {
        let device: any Device = isMirrored ? MirrorDevice() : HostDevice.shared
        var gradients = [Tensor([3, 0], shape: [2]).moved(to: device), Tensor([0, 4], shape: [2]).moved(to: device)]
        let shared = gradients[1], norm = Tensor.norm(of: gradients)
        #expect(norm.item() == 5 && norm.device === device)
        Tensor.clip(&gradients, norm: norm, limit: 7)
        #expect(gradients.map(\.array) == [[3, 0], [0, 4]])
        Tensor.clip(&gradients, norm: norm, limit: 1)
        let factor: Float = 1 / (5 + 1e-6)
        #expect(gradients.map(\.array) == [[3 * factor, 0], [0, 4 * factor]] && shared.array == [0, 4])
    }

    @Test("a step of AdamW on a second device has the processor's bits and leaves copies alone")
    func adamW() {
        func stepped(on device: any Device) -> [[UInt32]] {
            let start = Tensor.testNormal([7, 5], seed: 1).moved(to: device), parameter = Parameter("w", start, trainable: true)
            var (mean, square) = (Tensor.zeros([7, 5], on: device), Tensor.zeros([7, 5], on: device))
            for step in 1...3 {
                let numbers = AdamWStep(learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1, step: step)
                let gradient = Tensor.testNormal([7, 5], seed: UInt64(step)).moved(to: device)
                parameter.update { $0.adamW(numbers, gradient: gradient, mean: &mean, square: &square) }
            }
            #expect(start.bits == Tensor.testNormal([7, 5], seed: 1).bits && parameter.tensor.requiresGradient)
            return [parameter.value.bits, mean.bits, square.bits]
        }
        #expect(stepped(on: MirrorDevice()) == stepped(on: HostDevice.shared))
    }

    @Test("each channel with its own kernel", arguments: [1, 3, 5])
    func depthwise(kernel: Int) {
        let mirror = MirrorDevice(), x = Tensor.testNormal([2, 4, 6, 3], seed: 1), taps = Tensor.testNormal([kernel, kernel, 3], seed: 2)
        let shift = Tensor.testNormal([3], seed: 3), y = x.depthwiseConv2d(taps: taps, shift: shift)
        // The same as a convolution whose weight [3, 3, k, k] is zero between different channels.
        let weight = Tensor(shape: [3, 3, kernel, kernel]) { values in
            let tap = taps.array
            for i in values.indices {
                let (out, into, place) = (i / (3 * kernel * kernel), i / (kernel * kernel) % 3, i % (kernel * kernel))
                values[i] = out == into ? tap[place * 3 + out] : 0
            }
        }
        expectClose(y, x.conv2d(weight, bias: shift, padding: Padding(kernel / 2)), relative: 1e-6)
        #expect(x.moved(to: mirror).depthwiseConv2d(taps: taps, shift: shift).bits == y.bits)
    }

    // MARK: Failures

    @Test("after a failure nothing is computed until it is cleared; a lost device stays lost")
    func failures() throws {
        let mirror = MirrorDevice(), x = Tensor.ones([3]).moved(to: mirror)
        mirror.fail(.outOfMemory(device: "mirror", bytes: 5, inUse: 1))
        let launches = mirror.count.launches, y = x + 1
        #expect(mirror.count.launches == launches && mirror.count.idleLaunches > 0 && y.array == [0, 0, 0])
        #expect(throws: DeviceFailure.outOfMemory(device: "mirror", bytes: 5, inUse: 1)) { try mirror.checkFailure() }
        try mirror.checkFailure()
        #expect((x + 1).array == [2, 2, 2])
        mirror.fail(.lost(device: "mirror", reason: "unplugged"))
        for _ in 0..<2 { #expect(throws: DeviceFailure.lost(device: "mirror", reason: "unplugged")) { try mirror.checkFailure() } }
    }

    @Test("a device that is full gives back what is free, then fails and does not end the process")
    func fullDevice() {
        let mirror = MirrorDevice(bytes: 1 << 20), kept = Tensor.ones([1 << 16]).moved(to: mirror)   // 256 KiB of 1 MiB
        do { _ = Tensor.zeros([3 << 15], on: mirror) }                                                // 384 KiB, then free
        #expect(mirror.pool.bytesFree == 3 << 17)
        let half = Tensor.zeros([1 << 17], on: mirror)                                                // 512 KiB: the free block must go
        #expect(mirror.failure == nil && mirror.pool.bytesFree == 0 && half.array.allSatisfy { $0 == 0 })
        let tooMuch = Tensor.zeros([1 << 17], on: mirror)
        guard case .outOfMemory(let name, let bytes, let inUse) = mirror.failure else { Issue.record("no failure"); return }
        #expect(name == "mirror" && bytes == 1 << 19 && inUse == 3 << 18 && tooMuch.count == 1 << 17)
        mirror.clearFailure()
        #expect((kept + 1).array.allSatisfy { $0 == 2 } && mirror.failure == nil)
    }

    @Test("a parameter that has no room to be copied keeps its value")
    func parameterWithoutRoom() {
        let mirror = MirrorDevice(bytes: 1200), parameter = Parameter("w", Tensor.ones([128]).moved(to: mirror)), snapshot = parameter.value
        parameter.update { $0.makeRoomAndFail(on: mirror) }
        #expect(mirror.failure != nil)
        mirror.clearFailure()
        #expect(parameter.value.bits == snapshot.bits && parameter.value.array == [Float](repeating: 1, count: 128))
    }
}

extension Tensor {
    /// A step in place whose copy of the weight finds no room.
    fileprivate mutating func makeRoomAndFail(on mirror: MirrorDevice) {
        var (mean, square) = (Tensor.zeros([128], on: mirror), Tensor.zeros([128], on: mirror))
        let step = AdamWStep(learningRate: 1, beta1: 0, beta2: 0, epsilon: 0, weightDecay: 0, step: 1)
        adamW(step, gradient: mean, mean: &mean, square: &square)
    }
}
