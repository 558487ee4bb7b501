// __half and __nv_bfloat16 for a host compiler: storage of 16 bits, converted from and to float.

#pragma once

#include <cstdint>
#include <cstring>

namespace host {
inline uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float float_of(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// Drops the lowest `count` bits, rounding to nearest and ties to even.
inline uint32_t rounded(uint32_t bits, int count) {
    const uint32_t half = 1u << (count - 1), odd = (bits >> count) & 1;
    return (bits + half - 1 + odd) >> count;
}
}  // namespace host

struct alignas(2) __nv_bfloat16 {  // the upper half of a float
    uint16_t bits;

    __nv_bfloat16() = default;

    explicit __nv_bfloat16(float value) {
        const uint32_t wide = host::bits_of(value);
        bits = value == value ? host::rounded(wide, 16) : (wide >> 16 | 0x40);  // NaN stays NaN
    }

    explicit operator float() const { return host::float_of(uint32_t(bits) << 16); }
};

struct alignas(2) __half {  // 1 sign, 5 exponent and 10 fraction bits
    uint16_t bits;

    __half() = default;

    explicit __half(float value) {
        const uint32_t wide = host::bits_of(value), magnitude = wide & 0x7fffffff;
        uint32_t narrow;
        if (magnitude > 0x7f800000) {  // NaN
            narrow = 0x7e00;
        } else if (magnitude >= 0x477ff000) {  // rounds to 65536 or more
            narrow = 0x7c00;
        } else if (magnitude >= 0x38800000) {  // 2^-14 or more: normal, with another exponent bias
            narrow = host::rounded(magnitude - (112u << 23), 13);
        } else {  // subnormal: the sum with 0.5 has its fraction in the lowest bits, rounded
            narrow = host::bits_of(host::float_of(magnitude) + 0.5f) - host::bits_of(0.5f);
        }
        bits = (wide >> 16 & 0x8000) | narrow;
    }

    explicit operator float() const {
        const uint32_t sign = uint32_t(bits & 0x8000) << 16, magnitude = bits & 0x7fff;
        const uint32_t wide = magnitude << 13;
        if (magnitude >= 0x7c00) return host::float_of(sign | 0x7f800000 | wide);  // infinity, NaN
        const float value = host::float_of(wide) * 0x1p112f;  // the other bias, also of subnormals
        return host::float_of(sign | host::bits_of(value));
    }
};
