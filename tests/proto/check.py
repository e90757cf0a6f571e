"""Reads JSON documents as the messages that Google publishes, strictly.

Each line of standard input is {"name", "message", "json"}; each line of the answer is {"name", "ok", "canonical"}
or {"name", "ok", "error"}. With --enums it prints the values of the error enums instead, with --families the error
families that Google says each of its methods may answer with.
"""

import inspect
import json
import re
import sys

from google.protobuf import descriptor_pool
from google.protobuf import json_format
from google.protobuf import message_factory

# Importing these registers their messages, and those of every type that they mention, in the default pool.
from google.ads import datamanager_v1
from google.api import error_reason_pb2
from google.ads.googleads.v26.errors.types import conversion_adjustment_upload_error
from google.ads.googleads.v26.errors.types import conversion_upload_error
from google.ads.googleads.v26.errors.types import errors  # Partial failures carry a GoogleAdsFailure.
from google.ads.googleads.v26.services.services import conversion_adjustment_upload_service as adjustment_client
from google.ads.googleads.v26.services.services import conversion_upload_service as upload_client
from google.ads.googleads.v26.services.services import google_ads_service as search_client
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

METHODS = {
    "uploadClickConversions": upload_client.ConversionUploadServiceClient.upload_click_conversions,
    "uploadConversionAdjustments": (
        adjustment_client.ConversionAdjustmentUploadServiceClient.upload_conversion_adjustments
    ),
    "search": search_client.GoogleAdsServiceClient.search,
}


def enums():
    """By their own names, and every family of the Google Ads API by the name that it has in an answer."""
    ours = {name: {value.name: value.value for value in enum} for name, enum in ENUMS.items()}
    ours["google.api.ErrorReason"] = dict(error_reason_pb2.ErrorReason.items())
    for field in errors.ErrorCode.pb().DESCRIPTOR.fields:
        ours[field.json_name] = {value.name: value.number for value in field.enum_type.values}
    return ours


def families():
    """What the documentation of each method lists as thrown."""
    thrown = {}
    for name, method in METHODS.items():
        listed = inspect.getdoc(method).split("List of thrown errors:")[1].split("Args:")[0]
        thrown[name] = [word[0].lower() + word[1:] for word in re.findall(r"(\w+Error)\b", listed)]
    return thrown


def message_class(name):
    """The plain protobuf class: the published ones are wrappers that json_format does not know."""
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
    print(json.dumps(enums()))
elif sys.argv[1:] == ["--families"]:
    print(json.dumps(families()))
else:
    for line in sys.stdin:
        print(json.dumps(check(json.loads(line))))
