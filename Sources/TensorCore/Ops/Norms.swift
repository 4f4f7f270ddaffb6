import Glibc

/// What a normalisation applies to its result, in the same pass.
public enum Activation: Sendable { case identity, silu }

extension Tensor {
    /// Group normalisation over `[B, H, W, C]` (Wu and He 2018, arXiv:1803.08494): each picture's channels in `groups` runs,
    /// `y = act((x − mean) / √(variance + ε) · scale + shift)`.
    ///
    /// - Parameters:
    ///   - scale: `[C]`; `shift`: `[C]`, of any type.
    ///   - activation: applied in the same pass.
    /// - Gradient: `dx = s/σ (g − mean g − x̂ mean(g x̂))` with `g = dy act′ ⊙ scale`. Keeps `x`, mean and 1/σ.
    public func groupNorm(groups: Int, scale: Tensor, shift: Tensor, epsilon: Float, activation: Activation = .identity) -> Tensor {
        require(rank == 4 && groups > 0 && shape[3] % groups == 0, "groupNorm: \(groups) groups of the channels of \(shape)")
        require(scale.shape == [shape[3]] && shift.shape == [shape[3]], "groupNorm: scale \(scale.shape), shift \(shift.shape) for \(shape)")
        let n = Compute.GroupNorm(batch: shape[0], pixels: shape[1] * shape[2], channels: shape[3], groups: groups, epsilon: epsilon, hasSiLU: activation == .silu)
        let x = detached(), s = scale.detached().widened(), t = shift.detached().widened()
        let y = Tensor(uninitialized: shape), statistics = Tensor(uninitialized: [shape[0], groups, 2])
        n.forward(x.floats, s.floats, t.floats, to: y.floats, statistics.floats)
        return Tensor.record("groupNorm", y, from: [self, scale, shift]) { dy, needs in
            let dx = needs[0] ? Tensor(uninitialized: x.shape) : nil
            let trains = needs[1] || needs[2]
            let partial = trains ? Tensor(uninitialized: [n.batch, 2, n.channels]) : nil
            n.backward(x.floats, s.floats, t.floats, statistics.floats, dy.floats, to: dx?.floats, partial?.floats)
            let sums = partial?.sum(axis: 0)
            return [dx, needs[1] ? sums!.sliced(axis: 0, from: 0, to: 1).reshaped([n.channels]) : nil,
                    needs[2] ? sums!.sliced(axis: 0, from: 1, to: 2).reshaped([n.channels]) : nil]
        }
    }

    /// Layer normalisation over the last axis (Ba et al. 2016, arXiv:1607.06450).
    ///
    /// - Parameter scale: `[N]`; `shift`: `[N]`, of any type.
    /// - Gradient: as `groupNorm` with one group per row. Keeps `x`, mean and 1/σ.
    public func layerNorm(scale: Tensor, shift: Tensor, epsilon: Float) -> Tensor {
        require(rank >= 1 && scale.shape == [shape.last!] && shift.shape == [shape.last!], "layerNorm: scale \(scale.shape), shift \(shift.shape) for \(shape)")
        let width = shape.last!, rows = shape.dropLast().reduce(1, *)
        let x = detached(), s = scale.detached().widened(), t = shift.detached().widened()
        let y = Tensor(uninitialized: shape), statistics = Tensor(uninitialized: [rows, 2])
        Compute.layerNorm(x.floats, s.floats, t.floats, epsilon, rows: rows, width: width, to: y.floats, statistics.floats)
        return Tensor.record("layerNorm", y, from: [self, scale, shift]) { dy, needs in
            let dx = needs[0] ? Tensor(uninitialized: x.shape) : nil
            if let dx {
                Compute.layerNormBackward(x.floats, s.floats, statistics.floats, dy.floats, rows: rows, width: width, to: dx.floats)
            }
            let ds = needs[1] ? Compute.layerNormScaleGradient(x.floats, statistics.floats, dy.floats, rows: rows, width: width).summed(to: [width]) : nil
            return [dx, ds, needs[2] ? dy.reshaped([rows, width]).summed(to: [width]) : nil]
        }
    }
}

extension Compute {
    /// The sizes of one group normalisation.
    struct GroupNorm {
        let batch: Int, pixels: Int, channels: Int, groups: Int
        let epsilon: Float
        let hasSiLU: Bool
        private var width: Int { channels / groups }

        /// - Parameter statistics: `[B, groups, 2]`, mean and 1/σ of each group.
        func forward(_ x: UnsafePointer<Float>, _ scale: UnsafePointer<Float>, _ shift: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, _ statistics: UnsafeMutablePointer<Float>) {
            Parallel.run(batch * groups, grain: 1) { range in
                for index in range {
                    let b = index / groups, first = index % groups * width
                    let source = x + b * pixels * channels + first, target = y + b * pixels * channels + first
                    var sum = 0.0
                    for p in 0..<pixels { for c in 0..<width { sum += Double(source[p * channels + c]) } }
                    let mean = Float(sum / Double(max(1, pixels * width)))
                    var squares = 0.0
                    for p in 0..<pixels { for c in 0..<width { let d = source[p * channels + c] - mean; squares += Double(d * d) } }
                    let rstd = 1 / (Float(squares / Double(max(1, pixels * width))) + epsilon).squareRoot()
                    statistics[2 * index] = mean
                    statistics[2 * index + 1] = rstd
                    for p in 0..<pixels {
                        for c in 0..<width {
                            let z = (source[p * channels + c] - mean) * rstd * scale[first + c] + shift[first + c]
                            target[p * channels + c] = hasSiLU ? z / (1 + expf(-z)) : z
                        }
                    }
                }
            }
        }

        /// - Parameter partial: `[B, 2, C]`, the gradients of scale and shift from each picture.
        func backward(_ x: UnsafePointer<Float>, _ scale: UnsafePointer<Float>, _ shift: UnsafePointer<Float>, _ statistics: UnsafePointer<Float>,
                      _ dy: UnsafePointer<Float>, to dx: UnsafeMutablePointer<Float>?, _ partial: UnsafeMutablePointer<Float>?) {
            Parallel.run(batch * groups, grain: 1) { range in
                for index in range {
                    let b = index / groups, first = index % groups * width, offset = b * pixels * channels + first
                    let mean = statistics[2 * index], rstd = statistics[2 * index + 1]
                    var sumG = 0.0, sumGX = 0.0
                    for c in 0..<width {
                        var ds = 0.0, dt = 0.0
                        for p in 0..<pixels {
                            let i = offset + p * channels + c
                            let xhat = (x[i] - mean) * rstd
                            let g = inner(dy[i], xhat, scale[first + c], shift[first + c])
                            ds += Double(g * xhat)
                            dt += Double(g)
                        }
                        sumG += dt * Double(scale[first + c])
                        sumGX += ds * Double(scale[first + c])
                        if let partial {
                            partial[2 * b * channels + first + c] = Float(ds)
                            partial[(2 * b + 1) * channels + first + c] = Float(dt)
                        }
                    }
                    guard let dx else { continue }
                    let meanG = Float(sumG / Double(pixels * width)), meanGX = Float(sumGX / Double(pixels * width))
                    for p in 0..<pixels {
                        for c in 0..<width {
                            let i = offset + p * channels + c
                            let xhat = (x[i] - mean) * rstd
                            let g = inner(dy[i], xhat, scale[first + c], shift[first + c]) * scale[first + c]
                            dx[i] = rstd * (g - meanG - xhat * meanGX)
                        }
                    }
                }
            }
        }

        /// The gradient before the activation.
        @inline(__always)
        private func inner(_ dy: Float, _ xhat: Float, _ scale: Float, _ shift: Float) -> Float {
            guard hasSiLU else { return dy }
            let z = xhat * scale + shift, s = 1 / (1 + expf(-z))
            return dy * s * (1 + z * (1 - s))
        }
    }

    static func layerNorm(_ x: UnsafePointer<Float>, _ scale: UnsafePointer<Float>, _ shift: UnsafePointer<Float>, _ epsilon: Float, rows: Int, width: Int,
                          to y: UnsafeMutablePointer<Float>, _ statistics: UnsafeMutablePointer<Float>) {
        Parallel.run(rows, grain: max(1, grain / max(1, width))) { range in
            for row in range {
                let source = x + row * width, target = y + row * width
                let mean = Float(sum(source, count: width) / Double(max(1, width)))
                var squares = 0.0
                for i in 0..<width { let d = source[i] - mean; squares += Double(d * d) }
                let rstd = 1 / (Float(squares / Double(max(1, width))) + epsilon).squareRoot()
                statistics[2 * row] = mean
                statistics[2 * row + 1] = rstd
                for i in 0..<width { target[i] = (source[i] - mean) * rstd * scale[i] + shift[i] }
            }
        }
    }

    static func layerNormBackward(_ x: UnsafePointer<Float>, _ scale: UnsafePointer<Float>, _ statistics: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, rows: Int, width: Int,
                                  to dx: UnsafeMutablePointer<Float>) {
        Parallel.run(rows, grain: max(1, grain / max(1, width))) { range in
            for row in range {
                let source = x + row * width, d = dy + row * width, target = dx + row * width
                let mean = statistics[2 * row], rstd = statistics[2 * row + 1]
                var sumG = 0.0, sumGX = 0.0
                for i in 0..<width {
                    let g = d[i] * scale[i]
                    sumG += Double(g)
                    sumGX += Double(g * (source[i] - mean) * rstd)
                }
                let meanG = Float(sumG / Double(width)), meanGX = Float(sumGX / Double(width))
                for i in 0..<width { target[i] = rstd * (d[i] * scale[i] - meanG - (source[i] - mean) * rstd * meanGX) }
            }
        }
    }

    /// `dy ⊙ x̂`, `[rows, width]`: its column sums are the gradient of the scale.
    static func layerNormScaleGradient(_ x: UnsafePointer<Float>, _ statistics: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, rows: Int, width: Int) -> Tensor {
        let result = Tensor(uninitialized: [rows, width])
        let target = result.floats
        Parallel.run(rows, grain: max(1, grain / max(1, width))) { range in
            for row in range {
                let mean = statistics[2 * row], rstd = statistics[2 * row + 1]
                for i in row * width..<(row + 1) * width { target[i] = dy[i] * (x[i] - mean) * rstd }
            }
        }
        return result
    }
}
