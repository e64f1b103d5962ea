// Label and confidence for the sample in a file, with the C API of ONNX Runtime.
//
// Build:  c++ -std=c++17 -O2 predict.cpp -I INCLUDE -L LIB -lonnxruntime -o predict
// Use:    ./predict FILE [MODEL]
//
// INCLUDE holds onnxruntime_c_api.h, LIB holds libonnxruntime.so; the library may be newer than the header. If LIB is
// not where the system looks for libraries, add -Wl,-rpath,LIB to the command. inputs.h says what FILE may be; MODEL is
// the bundle's model in the current folder unless it is given. verify.py refuses any file that is not of the bundle:
// build in another folder, or verify first.
//
// The constants of model.h are what manifest.json says of the input, the classes and the session of its first target,
// and hold for the model of that target only. Exit code 2 after one line that says what is wrong.

#include <onnxruntime_c_api.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"

#include "inputs.h"

namespace {

constexpr const char* CPU = "CPUExecutionProvider";

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

template <typename T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

class Runtime {
  public:
    Runtime() : api_(OrtGetApiBase()->GetApi(ORT_API_VERSION)) {
        if (api_ == nullptr) {
            fail("the library is ONNX Runtime " + version() + ", older than the header (API version " +
                 std::to_string(ORT_API_VERSION) + "): build with the header of the library, or use a newer library");
        }
    }

    // Logits of one sample.
    std::vector<float> answer(const char* model, std::vector<float> fed) const {
        fed.resize(BATCH * SAMPLE);  // in a model with a fixed batch the sample comes first and zeros follow
        std::vector<std::int64_t> shape{BATCH};
        shape.insert(shape.end(), std::begin(SHAPE), std::end(SHAPE));
        const auto environment = made(api_->ReleaseEnv, api_->CreateEnv, ORT_LOGGING_LEVEL_ERROR, "predict");
        const auto options = session_options();
        const auto session = made(api_->ReleaseSession, api_->CreateSession, environment.get(), model, options.get());
        const auto memory =
            made(api_->ReleaseMemoryInfo, api_->CreateCpuMemoryInfo, OrtArenaAllocator, OrtMemTypeDefault);
        const auto input =
            made(api_->ReleaseValue, api_->CreateTensorWithDataAsOrtValue, memory.get(), fed.data(),
                 fed.size() * sizeof(float), shape.data(), shape.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
        const OrtValue* inputs[] = {input.get()};
        OrtValue* answered = nullptr;
        check(api_->Run(session.get(), nullptr, &INPUT, inputs, 1, &OUTPUT, 1, &answered));
        const Owned<OrtValue> output(answered, api_->ReleaseValue);
        return first_row(output.get());
    }

  private:
    static std::string version() { return OrtGetApiBase()->GetVersionString(); }

    void check(OrtStatus* status) const {
        if (status == nullptr) {
            return;
        }
        const Owned<OrtStatus> owned(status, api_->ReleaseStatus);
        const std::string message = api_->GetErrorMessage(status);
        fail("ONNX Runtime " + version() + ": " + message.substr(0, message.find('\n')));
    }

    // What one of the API's functions makes, to be released by another.
    template <typename T, typename Function, typename... Arguments>
    Owned<T> made(void (*release)(T*), Function function, Arguments... arguments) const {
        T* thing = nullptr;
        check(function(arguments..., &thing));
        return Owned<T>(thing, release);
    }

    Owned<OrtSessionOptions> session_options() const {
        auto options = made(api_->ReleaseSessionOptions, api_->CreateSessionOptions);
        check(api_->SetIntraOpNumThreads(options.get(), THREADS));
        check(api_->SetInterOpNumThreads(options.get(), INTER_OP_THREADS));
        check(api_->SetSessionExecutionMode(options.get(), EXECUTION));
        check(api_->SetSessionGraphOptimizationLevel(options.get(), OPTIMISATION));
        check(api_->SetSessionLogSeverityLevel(options.get(), ORT_LOGGING_LEVEL_ERROR));
        for (const auto& [key, value] : SESSION_OPTIONS) {
            check(api_->AddSessionConfigEntry(options.get(), key, value));
        }
        if (std::strcmp(PROVIDER, CPU) != 0) {  // the CPU is always there, and cannot be asked for
            check(api_->SessionOptionsAppendExecutionProvider(options.get(), PROVIDER, nullptr, nullptr, 0));
        }
        return options;
    }

    std::vector<float> first_row(OrtValue* output) const {
        const auto facts = made(api_->ReleaseTensorTypeAndShapeInfo, api_->GetTensorTypeAndShape, output);
        ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
        std::size_t count = 0;
        check(api_->GetTensorElementType(facts.get(), &type));
        check(api_->GetTensorShapeElementCount(facts.get(), &count));
        if (type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || count != BATCH * std::size(CLASSES)) {
            fail("the model does not answer with one number a class: it is not the bundle's");
        }
        void* data = nullptr;
        check(api_->GetTensorMutableData(output, &data));
        const float* logits = static_cast<const float*>(data);
        return std::vector<float>(logits, logits + std::size(CLASSES));
    }

    const OrtApi* api_;
};

std::vector<float> softmax(std::vector<float> logits) {
    const float highest = *std::max_element(logits.begin(), logits.end());
    float sum = 0;
    for (float& each : logits) {
        each = std::exp(each - highest);
        sum += each;
    }
    for (float& each : logits) {
        each /= sum;
    }
    return logits;
}

void predict(const char* path, const char* model) {
    const std::vector<float> shares = softmax(Runtime().answer(model, read_input(path)));
    if (!std::all_of(shares.begin(), shares.end(), [](float share) { return std::isfinite(share); })) {
        fail("the model's answer is not finite");
    }
    const auto best = std::max_element(shares.begin(), shares.end());
    const std::string_view label = CLASSES[best - shares.begin()];
    std::printf("%s\t", path);
    std::fwrite(label.data(), 1, label.size(), stdout);
    std::printf("\t%.4f\n", static_cast<double>(*best));
    if (std::fflush(stdout) != 0) {
        fail("cannot write the answer: " + std::string(std::strerror(errno)));
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2 && count != 3) {
        std::fprintf(stderr, "usage: predict FILE [MODEL]\n");
        return 2;
    }
    try {
        predict(arguments[1], count == 3 ? arguments[2] : MODEL_FILE);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 2;
    }
    return 0;
}
