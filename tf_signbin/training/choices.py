"""Names of what a run can be made of; the command line knows them without TensorFlow."""

DATASETS = (
    "digits", "glyphs", "cifar10", "cifar100", "fashion_mnist", "image_folder", "tfrecords",
)  # fmt: skip
CIFAR_DEPTHS = (8, 14, 20, 32, 44, 56, 110)
IMAGENET_DEPTHS = (18, 34, 50)
NETWORKS = tuple(f"resnet{depth}" for depth in (*CIFAR_DEPTHS, *IMAGENET_DEPTHS))
NON_LINEARITIES = ("relu", "prelu", "clamp")
WEIGHTS = ("full_precision", "binary", "ternary", "signed_binary")
OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("cosine", "linear", "constant")
AUGMENTATIONS = ("none", "shift", "cifar", "imagenet")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
STRATEGIES = ("none", "mirrored", "multi_worker")
