"""Evaluation: one file per protocol, each of which knows a method only by what it can do.

A protocol's module exports `Params`, its typed settings, and

    evaluate(method, splits, settings, task, seed) -> (metrics, arrays)

    method    nn.Module on its device; left in evaluation mode, otherwise unchanged
    splits    "train", "val", "test" -> training.method.Data on that device
    settings  the protocol's Params
    task      "binary-class", "multi-class" or "ordinal-regression" of the data set
    seed      int; of whatever is trained here (probes). Corrupted test images depend on nothing but
              the test images, so that all methods and seeds are asked the same questions.
    metrics   flat names -> float, "<protocol>/..."
    arrays    flat names -> values per test image, class scores and pictures, for figures and paired
              tests. "labels" (N,) int64 go with "<...>/disease/.../scores"; "corruption/labels" with
              "<...>/corruption/.../scores"; "lesions/<...>/dice" (P,) are of the
              patients "lesions/subject"; "figure/..." are images (8, C, H, W) uint8.

Where some data cannot answer what a protocol asks, its module also exports `possible(splits) -> bool`, and
whoever evaluates leaves the protocol out where that is False.

`comparison` is no protocol: it compares runs by the arrays that the protocols left.
"""

# What a method must be able to do for each protocol; of several lines, one is enough.
# "classify disease" is `classify` with the attribute `task = "disease"`.
PROTOCOLS = {
    "reconstruction": (("reconstruct",),),
    "revision": (("reconstruct",),),
    "probing": (("encode",),),
    "classification": (("classify",),),
    "robustness": (("classify disease",), ("encode",)),
    "separation": (("encode", "anatomy"),),
    "lesions": (("anomaly_map",),),
    "segmentation": (("segment",),),
    "volume": (("anatomy", "segment"),),
    "modality": (("anatomy", "encode", "decode"),),
    "transfer": (("anatomy", "encode", "decode", "segment"),),
    "arithmetic": (("anatomy", "encode", "decode", "segment"),),
    "factors": (("posterior",),),
    "disentanglement": (("anatomy", "encode", "decode"),),
}

CAPABILITIES = (
    *("reconstruct", "anatomy", "encode", "decode", "posterior"),
    *("segment", "anomaly_map", "classify", "sample"),
)


def capabilities(method: object) -> set[str]:
    """What a method declares that it can do, by having it; classifiers also "classify <task>"."""
    found = {name for name in CAPABILITIES if hasattr(method, name)}
    return found | {f"classify {method.task}"} if "classify" in found else found


def applies(protocol: str, method: object) -> bool:
    """Whether a method can do what a protocol of PROTOCOLS needs."""
    found = capabilities(method)
    return any(found.issuperset(needed) for needed in PROTOCOLS[protocol])
