#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A narrow perspective camera that circles the origin, with the directions that lights are given in.
struct Camera {
    let position: Vector
    let right: Vector, up: Vector, forward: Vector
    /// Towards the viewer and along the ground: lights turn with the camera, so that icons are lit alike from every side.
    let towardsViewer: Vector
    /// Half of the picture's side as a tangent.
    let halfWidth: Float

    private static let distance: Float = 6
    private static let usualHalfWidth: Float = 0.205

    /// - Parameters: yaw and elevation in degrees; `scale` enlarges the object in the frame.
    init(yaw: Float, elevation: Float, scale: Float) {
        let a = yaw * .pi / 180, e = elevation * .pi / 180
        let direction: Vector = [sinf(a) * cosf(e), sinf(e), cosf(a) * cosf(e)]
        position = direction * Self.distance
        forward = -direction
        towardsViewer = [sinf(a), 0, cosf(a)]
        right = [cosf(a), 0, -sinf(a)]
        up = right.cross(forward)
        halfWidth = Self.usualHalfWidth / scale
    }

    init(_ scene: Scene) {
        let flat = scene.shape.facesViewer
        let (yaw, elevation): (Float, Float) = switch scene.view {
        case .isometric: (flat ? 32 : 45, 31)
        case .front: (flat ? 0 : 14, 13)
        case .threeQuarter: (flat ? -27 : -32, 20)
        }
        self.init(yaw: yaw + scene.yawOffset, elevation: elevation + scene.elevationOffset, scale: scene.scale)
    }

    /// Through the point (x, y) of the picture, each in -1...1, y upwards.
    @inline(__always) func direction(_ x: Float, _ y: Float) -> Vector {
        (forward + right * (x * halfWidth) + up * (y * halfWidth)).normalized
    }

    /// A direction given in the camera's own frame: to the right, upwards, towards the viewer.
    func oriented(_ v: Vector) -> Vector { (right * v.x + [0, v.y, 0] + towardsViewer * v.z).normalized }
}

extension Vocabulary.Shape {
    /// Whether the shape is flat and would be lost seen from its side.
    var facesViewer: Bool {
        switch self {
        case .torus, .cloud, .shield, .lock, .gear, .server: true
        default: false
        }
    }
}

/// Where a ray met the object.
struct Hit {
    var point: Vector
    var normal: Vector
    var part: Part
}

/// Turns rays into linear light; one look is one style of picture.
protocol Look {
    /// Light from the object at a hit.
    func surface<S: Solid>(_ hit: Hit, ray: Vector, _ solid: S) -> Vector
    /// Light where the ray passed the object: `nearest` is the least distance over the way travelled, a tangent as seen from the eye.
    func surroundings<S: Solid>(origin: Vector, ray: Vector, nearest: Float, height: Float, _ solid: S) -> Vector
    /// Whether `nearest` is wanted well outside the object's bounding sphere.
    var margin: Float { get }
}

/// Renders a shape in a look to `size` × `size` RGB bytes, row by row from the top. The switch makes every shape's loops a specialised copy.
func draw(_ shape: Vocabulary.Shape, camera: Camera, look: some Look, size: Int) -> [UInt8] {
    switch shape {
    case .sphere: Tracer(solid: Sphere(), look: look, camera: camera, size: size).picture()
    case .cube: Tracer(solid: Cube(), look: look, camera: camera, size: size).picture()
    case .cylinder: Tracer(solid: Cylinder(), look: look, camera: camera, size: size).picture()
    case .cone: Tracer(solid: Cone(), look: look, camera: camera, size: size).picture()
    case .torus: Tracer(solid: Torus(), look: look, camera: camera, size: size).picture()
    case .pyramid: Tracer(solid: Pyramid(), look: look, camera: camera, size: size).picture()
    case .server: Tracer(solid: Server(), look: look, camera: camera, size: size).picture()
    case .database: Tracer(solid: Database(), look: look, camera: camera, size: size).picture()
    case .cloud: Tracer(solid: Cloud(), look: look, camera: camera, size: size).picture()
    case .shield: Tracer(solid: Shield(), look: look, camera: camera, size: size).picture()
    case .lock: Tracer(solid: Lock(), look: look, camera: camera, size: size).picture()
    case .gear: Tracer(solid: Gear(), look: look, camera: camera, size: size).picture()
    }
}

/// Sphere tracing with one ray a pixel, and nine more where neighbours differ.
struct Tracer<S: Solid, L: Look> {
    let solid: S
    let look: L
    let camera: Camera
    let size: Int

    private static var stepLimit: Int { 48 }
    private static var precision: Float { 0.0012 }
    /// Largest difference of gamma-encoded components between neighbours that one ray a pixel may show.
    private static var edgeThreshold: Float { 0.035 }

    func picture() -> [UInt8] {
        var colours = [Vector](repeating: .zero, count: size * size)
        for y in 0..<size {
            for x in 0..<size { colours[y * size + x] = sample(Float(x) + 0.5, Float(y) + 0.5) }
        }
        let edges = edgePixels(colours)
        for index in edges { colours[index] = supersampled(index % size, index / size) }
        return encoded(colours)
    }

    /// Gamma-encoded colour (by a square root, which is close enough to compare and to average in) at a point in pixels.
    private func sample(_ x: Float, _ y: Float) -> Vector {
        let scale = 2 / Float(size)
        let height = 1 - y * scale
        let light = trace(camera.direction(x * scale - 1, height), height: height)
        let limited = light.replacing(with: 0, where: light .< 0)
        return limited.replacing(with: 1, where: limited .> 1).squareRoot()
    }

    private func trace(_ ray: Vector, height: Float) -> Vector {
        // Only rays that come near the bounding sphere are traced at all.
        let middle = -camera.position.dot(ray)
        let reach = solid.radius + look.margin * middle
        let gap = camera.position.dot(camera.position) - middle * middle
        guard gap < reach * reach else {
            return look.surroundings(origin: camera.position, ray: ray, nearest: 1, height: height, solid)
        }
        let half = (reach * reach - gap).squareRoot()
        var t = middle - half
        var nearest: Float = 1
        for _ in 0..<Self.stepLimit where t < middle + half {
            let point = camera.position + ray * t
            let d = solid.distance(point)
            if d < Self.precision {
                let hit = Hit(point: point, normal: normal(point), part: solid.part(point))
                return look.surface(hit, ray: ray, solid)
            }
            nearest = min(nearest, d / t)
            t += d
        }
        return look.surroundings(origin: camera.position, ray: ray, nearest: nearest, height: height, solid)
    }

    /// The field's gradient from the four corners of a tetrahedron.
    private func normal(_ p: Vector) -> Vector {
        let e: Float = 0.004
        let a: Vector = [1, -1, -1], b: Vector = [-1, -1, 1], c: Vector = [-1, 1, -1], d: Vector = [1, 1, 1]
        let sum = a * solid.distance(p + a * e) + b * solid.distance(p + b * e)
            + c * solid.distance(p + c * e) + d * solid.distance(p + d * e)
        return sum.normalized
    }

    private func edgePixels(_ colours: [Vector]) -> [Int] {
        var isEdge = [Bool](repeating: false, count: colours.count)
        func compare(_ a: Int, _ b: Int) {
            if (colours[a] - colours[b]).absolute.largest > Self.edgeThreshold { (isEdge[a], isEdge[b]) = (true, true) }
        }
        for y in 0..<size {
            for x in 0..<size {
                let index = y * size + x
                if x + 1 < size { compare(index, index + 1) }
                if y + 1 < size { compare(index, index + size) }
            }
        }
        return isEdge.indices.filter { isEdge[$0] }
    }

    private func supersampled(_ x: Int, _ y: Int) -> Vector {
        var sum = Vector.zero
        for row in 0..<3 {
            for column in 0..<3 {
                sum += sample(Float(x) + (Float(column) + 0.5) / 3, Float(y) + (Float(row) + 0.5) / 3)
            }
        }
        return sum / 9
    }

    private func encoded(_ colours: [Vector]) -> [UInt8] {
        var bytes = [UInt8]()
        bytes.reserveCapacity(colours.count * 3)
        for colour in colours {
            let entries = colour * colour * 4096
            bytes.append(Gamma.table[Int(entries.x)])
            bytes.append(Gamma.table[Int(entries.y)])
            bytes.append(Gamma.table[Int(entries.z)])
        }
        return bytes
    }
}
