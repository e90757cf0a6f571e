"""Reads JSON documents as the messages that Google publishes, strictly.

Each line of standard input is {"name", "message", "json"}; each line of the answer is {"name", "ok", "canonical"}
or {"name", "ok", "error"}. With --enums it prints the values of the error enums instead.
"""

import json
import sys

from google.protobuf import descriptor_pool
from google.protobuf import json_format
from google.protobuf import message_factory

# Importing these registers their messages, and those of every type that they mention, in the default pool.
from google.ads import datamanager_v1
from google.ads.googleads.v26.errors.types import conversion_adjustment_upload_error
from google.ads.googleads.v26.errors.types import conversion_upload_error
from google.ads.googleads.v26.errors.types import errors  # Partial failures carry a GoogleAdsFailure.
from google.ads.googleads.v26.services.types import conversion_adjustment_upload_service
from google.ads.googleads.v26.services.types import conversion_upload_service

ENUMS = {
    "ConversionUploadErrorEnum": conversion_upload_error.ConversionUploadErrorEnum.ConversionUploadError,
    "ConversionAdjustmentUploadErrorEnum": (
        conversion_adjustment_upload_error.ConversionAdjustmentUploadErrorEnum.ConversionAdjustmentUploadError
    ),
    "ErrorReason": datamanager_v1.ErrorReason,
    "ProcessingErrorReason": datamanager_v1.ProcessingErrorReason,
}


def message_class(name):
    """The plain protobuf class: the published ones are wrappers that json_format does not know."""
    if "SearchGoogleAds" in name:
        # Mentions every resource there is, and takes seconds to read them.
        import google.ads.googleads.v26.services.types.google_ads_service  # noqa: F401
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))


def check(document):
    # A name that is not a message is a mistake in the test, not in the document, and stops everything.
    message = message_class(document["message"])()
    try:
        json_format.ParseDict(document["json"], message, ignore_unknown_fields=False)
        canonical = json_format.MessageToDict(message)
    except (json_format.Error, TypeError, ValueError) as error:
        return {"name": document["name"], "ok": False, "error": str(error)}
    return {"name": document["name"], "ok": True, "canonical": canonical}


if sys.argv[1:] == ["--enums"]:
    print(json.dumps({name: {value.name: value.value for value in enum} for name, enum in ENUMS.items()}))
else:
    for line in sys.stdin:
        print(json.dumps(check(json.loads(line))))
