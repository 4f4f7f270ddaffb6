import Adapters
import Datasets
import Diffusion
#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif
import Text

/// What tells an adapter file's reader how it was made: Kohya's `ss_*` entries and the `modelspec.*` standard. Values are the
/// text that Python's `str()` gives, as readers expect.
extension Trainer {
    /// - Parameter epoch: the epoch the file holds.
    public func metadata(epoch: Int) -> [String: String] {
        var entries = configuration.specification.metadata(baseVersion: model.baseVersion)
        entries.merge(runMetadata(epoch: epoch)) { $1 }
        entries.merge(settingsMetadata()) { $1 }
        entries.merge(datasetMetadata()) { $1 }
        entries.merge(modelSpecification()) { $1 }
        return entries
    }

    private func runMetadata(epoch: Int) -> [String: String] {
        let size = network.hasMixedRanks ? nil : network.size
        return [
            "ss_output_name": configuration.outputName, "ss_network_dim": size.map { "\($0.rank)" } ?? "Dynamic",
            "ss_network_alpha": size.map { Python.text($0.alpha) } ?? "Dynamic", "ss_network_dropout": "None", "ss_sd_model_name": model.name,
            "ss_epoch": "\(epoch)", "ss_num_epochs": "\(position.epoch - position.epochsInRun + configuration.epochs)", "ss_steps": "\(position.step)",
            "ss_max_train_steps": "\(position.step - position.stepInRun + totalSteps)", "ss_training_finished_at": "\(Date().timeIntervalSince1970)",
            "ss_training_comment": "None", "ss_sd_scripts_commit_hash": "None",
        ]
    }

    private func settingsMetadata() -> [String: String] {
        let c = configuration, captions = c.captions, w = c.adamW
        return [
            "ss_learning_rate": "\(c.learningRate)", "ss_unet_lr": "\(c.effectiveUNetRate)", "ss_text_encoder_lr": "\(c.effectiveTextEncoderRate)",
            "ss_lr_scheduler": c.schedule.rawValue, "ss_lr_warmup_steps": "\(c.warmup.steps(of: totalSteps))",
            "ss_optimizer": "torch.optim.adamw.AdamW(betas=(\(w.beta1),\(w.beta2)),eps=\(w.epsilon),weight_decay=\(w.weightDecay))",
            "ss_max_grad_norm": Python.text(c.maximumGradientNorm), "ss_gradient_accumulation_steps": "\(c.accumulation)",
            "ss_gradient_checkpointing": Python.text(c.recomputes), "ss_mixed_precision": "no", "ss_full_fp16": "False",
            "ss_seed": "\(c.seed ?? 0)", "ss_clip_skip": c.clipSkip.map { "\($0)" } ?? "None", "ss_max_token_length": c.tokenRows > 1 ? "\(75 * c.tokenRows)" : "None",
            "ss_cache_latents": Python.text(c.cachesLatents), "ss_lowram": "False",
            "ss_noise_offset": c.noiseOffset > 0 ? Python.text(c.noiseOffset) : "None",
            "ss_noise_offset_random_strength": Python.text(c.noiseOffsetRandomStrength), "ss_adaptive_noise_scale": "None",
            "ss_multires_noise_iterations": "None", "ss_multires_noise_discount": "0.3",
            "ss_ip_noise_gamma": c.inputPerturbation > 0 ? Python.text(c.inputPerturbation) : "None", "ss_ip_noise_gamma_random_strength": "False",
            "ss_min_snr_gamma": c.objective.minSNRGamma.map { Python.text($0) } ?? "None", "ss_debiased_estimation": Python.text(c.objective.debiasedEstimation),
            "ss_loss_type": c.objective.loss.rawValue, "ss_huber_schedule": c.objective.huberSchedule.rawValue,
            "ss_huber_c": Python.text(c.objective.huberThreshold), "ss_huber_scale": Python.text(c.objective.huberScale),
            "ss_zero_terminal_snr": Python.text(model.schedule.configuration.rescaleBetasZeroSNR), "ss_scale_weight_norms": "None",
            "ss_prior_loss_weight": Python.text(c.priorLossWeight), "ss_caption_dropout_rate": Python.text(captions.dropoutRate),
            "ss_caption_dropout_every_n_epochs": "\(captions.dropoutEveryEpochs)", "ss_caption_tag_dropout_rate": Python.text(captions.tagDropoutRate),
            "ss_shuffle_caption": Python.text(captions.shuffles), "ss_keep_tokens": "\(captions.keepTokens)", "ss_face_crop_aug_range": "None",
        ]
    }

    private func datasetMetadata() -> [String: String] {
        let options = dataset.options, size = options.resolution, buckets = options.buckets
        let folders = { (isRegularisation: Bool) in
            JSONText.object(self.dataset.subsets.indices.filter { self.dataset.subsets[$0].isRegularisation == isRegularisation }.map { index in
                let count = self.dataset.items.filter { $0.subset == index }.count
                return (self.dataset.subsets[index].name, "{\"n_repeats\": \(self.dataset.subsets[index].repeats), \"img_count\": \(count)}")
            })
        }
        let tags = JSONText.object(dataset.tagFrequency().sorted { $0.key < $1.key }.map { name, counts in
            (name, JSONText.object(counts.map { ($0.tag, "\($0.count)") }))
        })
        let bucketInfo = JSONText.object(dataset.bucketCounts.enumerated().map { index, bucket in
            ("\(index)", "{\"resolution\": [\(bucket.size.width), \(bucket.size.height)], \"count\": \(bucket.visits)}")
        })
        return [
            "ss_num_train_images": "\(dataset.imageSteps)", "ss_num_reg_images": "\(dataset.items.filter(\.isRegularisation).reduce(0) { $0 + $1.repeats })",
            "ss_num_validation_images": "\(heldOut?.items.count ?? 0)",
            "ss_num_batches_per_epoch": "\(dataset.batchesPerEpoch(size: configuration.batchSize))",
            "ss_batch_size_per_device": "\(configuration.batchSize)", "ss_total_batch_size": "\(configuration.batchSize)",
            "ss_resolution": "(\(size.width), \(size.height))", "ss_enable_bucket": Python.text(buckets.isEnabled),
            "ss_bucket_no_upscale": Python.text(buckets.neverUpscales), "ss_min_bucket_reso": "\(buckets.minimumSide)",
            "ss_max_bucket_reso": "\(buckets.maximumSide)", "ss_color_aug": "False", "ss_flip_aug": "False", "ss_random_crop": "False",
            "ss_dataset_dirs": folders(false), "ss_reg_dataset_dirs": folders(true), "ss_tag_frequency": tags,
            "ss_bucket_info": "{\"buckets\": \(bucketInfo), \"mean_img_ar_error\": \(dataset.meanAspectError)}",
        ]
    }

    private func modelSpecification() -> [String: String] {
        let size = dataset.options.resolution
        var entries = [
            "modelspec.title": configuration.outputName,
            "modelspec.resolution": "\(size.width)x\(size.height)", "modelspec.date": Self.isoDate(),
            "modelspec.prediction_type": model.schedule.configuration.predictionType == .velocity ? "v" : "epsilon",
        ]
        if let clipSkip = configuration.clipSkip { entries["modelspec.encoder_layer"] = "\(clipSkip)" }
        return entries
    }

    /// "2026-05-01T12:00:00", universal time.
    private static func isoDate() -> String { String(Date().formatted(.iso8601).prefix(19)) }
}

/// Values as Python's `str()` writes them.
private enum Python {
    static func text(_ value: Bool) -> String { value ? "True" : "False" }
    static func text(_ value: Float) -> String { "\(value)" }
}

/// JSON text with keys in a given order.
private enum JSONText {
    static func object(_ members: [(key: String, json: String)]) -> String {
        "{" + members.map { "\(JSON.literal($0.key)): \($0.json)" }.joined(separator: ", ") + "}"
    }
}
