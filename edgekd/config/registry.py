"""Every name that `use:` takes, and where its code is: the one wiring site.

A registry line is NAME: "module:Class"; the class is imported only when a file names it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """One kind of component.

    `custom` wraps what the user brings as `use: file.py:callable` or as an entry point of `edgekd.<name>`.
    `number`: the member and its option that a bare number stands for, as in `temperature: 4`.
    """

    name: str
    singular: str
    custom: str
    members: dict[str, str]
    number: tuple[str, str] | None = None


DATASETS = Group(
    "datasets",
    "dataset",
    custom="edgekd.data.custom:UserDataset",
    members={
        "digits": "edgekd.data.digits:Digits",
        "mnist": "edgekd.data.mnist:Mnist",
        "fashion_mnist": "edgekd.data.mnist:FashionMnist",
        "image_folder": "edgekd.data.image_folder:ImageFolder",
        "csv": "edgekd.data.csv:Csv",
        "breast_cancer": "edgekd.data.breast_cancer:BreastCancer",
        "text": "edgekd.data.text:Text",
        "sst2": "edgekd.data.sentences:Sst2",
        "trec": "edgekd.data.sentences:Trec",
        "sound_folder": "edgekd.data.sound_folder:SoundFolder",
        "spoken_digits": "edgekd.data.spoken_digits:SpokenDigits",
    },
)

# modules, not classes, and not for `use:`: a data set says which of them its samples are
MODALITIES = Group(
    "modalities",
    "kind of input",
    custom="",
    members={
        "image": "edgekd.data.modalities.image",
        "vector": "edgekd.data.modalities.vector",
        "text": "edgekd.data.modalities.text",
        "sound": "edgekd.data.modalities.sound",
    },
)

MODELS = Group(
    "models",
    "model",
    custom="edgekd.models.custom:UserModel",
    members={
        "conv": "edgekd.models.conv:ConvStack",
        "resnet": "edgekd.models.resnet:ResNet",
        "ds_cnn": "edgekd.models.ds_cnn:DepthwiseSeparable",
        "ds_resnet": "edgekd.models.ds_resnet:SeparableResNet",
        "airbench": "edgekd.models.airbench:Airbench",
        "mlp": "edgekd.models.mlp:Mlp",
        "torchvision": "edgekd.models.torchvision:TorchvisionModel",
        "transformers": "edgekd.models.transformers:TransformersModel",
        "text_cnn": "edgekd.models.text_cnn:TextCnn",
        "text_ngrams": "edgekd.models.text_ngrams:TextNgrams",
        "text_transformer": "edgekd.models.text_transformer:TextTransformer",
        "bc_resnet": "edgekd.models.bc_resnet:BroadcastedResNet",
    },
)

LOSSES = Group(
    "losses",
    "loss",
    custom="edgekd.training.losses.custom:UserLoss",
    members={
        "cross_entropy": "edgekd.training.losses.cross_entropy:CrossEntropy",
        "kd": "edgekd.training.losses.kd:SoftTargets",
        "fitnet": "edgekd.training.losses.fitnet:FitNet",
        "at": "edgekd.training.losses.at:AttentionTransfer",
        "sp": "edgekd.training.losses.sp:SimilarityPreserving",
        "rkd": "edgekd.training.losses.rkd:Relational",
        "pkt": "edgekd.training.losses.pkt:ProbabilisticTransfer",
        "nst": "edgekd.training.losses.nst:NeuronSelectivity",
        "vid": "edgekd.training.losses.vid:VariationalInformation",
        "sim_kd": "edgekd.training.losses.sim_kd:ReusedFeatures",
        "mlkd": "edgekd.training.losses.mlkd:MultiLevelLogits",
        "wkd_logits": "edgekd.training.losses.wkd_logits:WassersteinLogits",
        "pseudo_labels": "edgekd.training.losses.pseudo_labels:PseudoLabels",
        "entropy": "edgekd.training.losses.entropy:Entropy",
        "confidence_penalty": "edgekd.training.losses.entropy:ConfidencePenalty",
        "review_kd": "edgekd.training.losses.review_kd:KnowledgeReview",
        "srd": "edgekd.training.losses.srd:SimpleRecipe",
        "wkd_features": "edgekd.training.losses.wkd_features:WassersteinFeatures",
        "contrastive": "edgekd.training.losses.contrastive:Contrastive",
        "crd": "edgekd.training.losses.crd:ContrastiveRepresentation",
        "triplet": "edgekd.training.losses.triplet:Triplet",
        "logit_regression": "edgekd.training.losses.logit_regression:LogitRegression",
        "dkd": "edgekd.training.losses.dkd:Decoupled",
        "dist": "edgekd.training.losses.dist:Correlation",
        "nkd": "edgekd.training.losses.nkd:Normalised",
        "ttm": "edgekd.training.losses.ttm:TransformedTeacher",
        "rld": "edgekd.training.losses.rld:Refined",
        "norm_kd": "edgekd.training.losses.norm_kd:NormalisedTemperature",
    },
)

TEMPERATURES = Group(
    "temperatures",
    "temperature",
    custom="",
    members={
        "fixed": "edgekd.training.temperatures.fixed:Fixed",
        "linear": "edgekd.training.temperatures.linear:Linear",
        "cosine": "edgekd.training.temperatures.cosine:Cosine",
        "learned": "edgekd.training.temperatures.learned:Learned",
    },
    number=("fixed", "value"),
)

INITIALISERS = Group(
    "initialisers",
    "initialiser",
    custom="",
    members={
        "narrowed": "edgekd.training.initialisers.narrowed:Narrowed",
        "token_table": "edgekd.training.initialisers.token_table:TokenTable",
    },
)

OPTIMIZERS = Group(
    "optimizers",
    "optimizer",
    custom="",
    members={
        "adamw": "edgekd.training.optimizers.adamw:AdamW",
        "muon": "edgekd.training.optimizers.muon:Muon",
        "sgd": "edgekd.training.optimizers.sgd:Sgd",
    },
)

TEACHERS = Group(
    "teachers",
    "given teacher",
    custom="edgekd.teachers.custom:UserTeacher",
    members={
        "onnx": "edgekd.teachers.onnx:OnnxTeacher",
    },
)

SCHEMES = Group(
    "schemes",
    "quantization scheme",
    custom="",
    members={
        "fp32": "edgekd.graph.quantization.fp32:Fp32",
        "fp16_weights": "edgekd.graph.quantization.fp16:Fp16Weights",
        "int8_weights": "edgekd.graph.quantization.weights:Int8Weights",
        "padded": "edgekd.graph.quantization.padded:Padded",
        "int8_qdq": "edgekd.graph.quantization.schemes:Int8Qdq",
        "int8_qoperator": "edgekd.graph.quantization.schemes:Int8QOperator",
    },
)

DEVICES = Group(
    "devices",
    "target kind",
    custom="",
    members={
        "local": "edgekd.devices.local:Local",
        "ssh": "edgekd.devices.ssh:Ssh",
        "qemu": "edgekd.devices.qemu:Qemu",
        "hostile": "edgekd.devices.hostile:Hostile",
    },
)

GROUPS: dict[str, Group] = {
    group.name: group
    for group in (
        DATASETS,
        MODELS,
        LOSSES,
        TEMPERATURES,
        INITIALISERS,
        OPTIMIZERS,
        TEACHERS,
        SCHEMES,
        DEVICES,
    )
}
